"""Imports inside hrec_tf go one way; this parses every file and names each breach."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hrec_tf"
# Each room may import its own row and the rows above it.
ROWS = (
    {"schema", "checks", "settings", "user_history", "asked", "precision", "_backend"},
    {"data"},
    {"manifest"},
    {"cells"},
    {"layers", "losses", "optimizers", "metrics"},
    {"models", "baselines"},
    {"training", "evaluation"},
    {"readers", "pending_reader", "compiled_reader", "best", "inner_products"},
    {"inference"},
    {"registry"},
    {"recipes"},
    {"recipe"},
    {"fitting"},
    {"model_card", "planning", "weight_files"},
    {"runs"},
    {"recommender_files"},
    {"recommender"},
    {"reporting"},
    {"tuning"},
    {"export"},
    {"serving"},
    {"cli", "integrations"},
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
WITHOUT_KERAS = {"schema", "checks", "settings", "data", "manifest", "baselines", "serving"}
SERVING_KNOWS = {"schema", "checks", "user_history", "asked", "manifest", "serving"}
CONTRACTS = {
    "hrec_tf.models.next_item_model",
    "hrec_tf.models.prefix_model",
    "hrec_tf.models.explanation",
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(source, module, is_package, modules):
    """All modules that a file imports, wherever in it the import stands.

    `from a import b` is `a.b` where that is a module of ours, else `a`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules or base == "hrec_tf" else base


def breaches(source, module, modules, is_package=False):
    """Sentences on what a file of the package imports against the direction."""
    room = module.split(".")[1] if "." in module else None
    if module.endswith(".__main__"):  # a door to the command line, wherever it stands
        room = "cli"
    if room is None:  # hrec_tf/__init__.py hands out names of every room
        return []
    if room not in ROW_OF:
        return [f"{module}: the room {room!r} has no row in tests/test_layering.py"]
    found = []
    for imported in imported_modules(source, module, is_package, modules):
        head, *rest = imported.split(".")
        if head == "keras" and room in WITHOUT_KERAS:
            found.append(f"{module} imports {imported}, but {room} does without Keras")
        if head != "hrec_tf" or rest == ["__version__"]:
            continue
        target = rest[0] if rest else "__init__"
        if target not in ROW_OF:
            found.append(f"{module} imports {imported}: name the module that it needs")
        elif ROW_OF[target] > ROW_OF[room]:
            found.append(f"{module} imports {imported}, which comes after {room}")
        elif room == "schema":
            found.append(f"{module} imports {imported}, but schema imports no sibling")
        elif room == "serving" and target not in SERVING_KNOWS:
            found.append(f"{module} imports {imported}, but serving knows the artefact alone")
        elif room == target == "models" and not is_package and imported not in CONTRACTS:
            found.append(f"{module} imports {imported}, but a model imports no other model")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_name(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path))
def test_imports_follow_the_direction(path):
    source = path.read_text(encoding="utf-8")
    assert not breaches(source, module_name(path), MODULES, path.name == "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path))
def test_no_file_uses_the_keras_inside_tensorflow(path):
    # `tf.keras` may be Keras 2 (TF_USE_LEGACY_KERAS); layers of the two do not mix.
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "keras":
            assert ast.unparse(node.value) not in ("tf", "tensorflow"), f"line {node.lineno}"


SAMPLE_MODULES = {
    "hrec_tf",
    "hrec_tf.schema",
    "hrec_tf.data.lanes",
    "hrec_tf.cells.gru",
    "hrec_tf.models",
    "hrec_tf.models.gru4rec",
    "hrec_tf.models.next_item_model",
}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("hrec_tf.data.lanes", "from hrec_tf.cells.gru import GRU", "comes after data"),
        ("hrec_tf.data.lanes", "def f():\n    import keras", "does without Keras"),
        ("hrec_tf.data.lanes", "from keras.src import ops", "does without Keras"),
        ("hrec_tf.schema", "from hrec_tf import checks", "schema imports no sibling"),
        ("hrec_tf.data.lanes", "from ..cells import gru", "comes after data"),
        ("hrec_tf.models.hrnn", "from hrec_tf.models.gru4rec import G", "no other model"),
        ("hrec_tf.models.hrnn", "from hrec_tf.models import gru4rec", "no other model"),
        ("hrec_tf.models.hrnn", "from . import gru4rec", "no other model"),
        ("hrec_tf.models.hrnn", "from hrec_tf.models import GRU4Rec", "no other model"),
        ("hrec_tf.cells.gru", "import hrec_tf", "name the module"),
        ("hrec_tf.cells.gru", "from hrec_tf import GRU4Rec", "name the module"),
        ("hrec_tf.utils", "", "has no row"),
        ("hrec_tf.serving.server", "from hrec_tf.models import GRU4Rec", "the artefact alone"),
        ("hrec_tf.serving.client", "import keras", "does without Keras"),
    ],
)
def test_a_breach_is_found(module, source, complaint):
    (found,) = breaches(source, module, SAMPLE_MODULES)
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hrec_tf.models.hrnn", "from hrec_tf.models.next_item_model import NextItemModel"),
        ("hrec_tf.models.hrnn", "import keras\nfrom hrec_tf.cells.gru import GRU"),
        ("hrec_tf.export.__main__", "from hrec_tf.cli.main import main"),
        ("hrec_tf.cli.main", "from hrec_tf import __version__\nfrom hrec_tf import schema"),
        ("hrec_tf", "from hrec_tf.models.gru4rec import GRU4Rec"),
    ],
)
def test_what_is_allowed_is_not_a_breach(module, source):
    assert breaches(source, module, SAMPLE_MODULES) == []
