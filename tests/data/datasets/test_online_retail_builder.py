"""The TensorFlow data set `online_retail` holds what the bundled tables hold."""

import importlib
import sys

import numpy as np
import pytest

from hrec_tf.data.bundled import load_online_retail
from hrec_tf.data.datasets import import_tfds

pytestmark = pytest.mark.xdist_group("online retail")


def test_missing_tfds_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"could not be imported.*pip install 'hrec-tf\[tfds\]'"):
        import_tfds()


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    tfds = import_tfds()
    importlib.import_module("hrec_tf.data.datasets.online_retail")
    builder = tfds.builder("online_retail/full", data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module")
def examples(builder):
    tfds = import_tfds()
    dataset = tfds.load("online_retail/full", split="train", data_dir=builder.data_dir_root)
    return list(tfds.as_numpy(dataset))


@pytest.mark.integration
def test_info_cites_the_source_and_names_the_licence(builder):
    assert "10.24432/C5BW33" in builder.info.citation
    assert "CC BY 4.0" in builder.info.redistribution_info.license
    assert list(builder.info.splits) == ["train"]
    assert builder.info.splits["train"].num_examples == 18_536


@pytest.mark.integration
def test_examples_are_the_sessions_of_the_bundled_log_in_order(examples):
    purchases = load_online_retail().purchases
    lengths = [len(example["events"]["item"]) for example in examples]
    assert (len(examples), sum(lengths)) == (18_536, 397_924)
    for column in ("user", "session"):
        repeated = np.repeat([example[column] for example in examples], lengths)
        np.testing.assert_array_equal(repeated, purchases[column].to_numpy())
    for column in ("timestamp", "quantity"):
        events = np.concatenate([example["events"][column] for example in examples])
        np.testing.assert_array_equal(events, purchases[column].to_numpy())
    items = np.concatenate([example["events"]["item"] for example in examples])
    assert [item.decode() for item in items] == purchases["item"].to_list()


@pytest.mark.integration
def test_item_and_user_features_stand_beside_each_event(examples):
    first = examples[0]
    assert (first["user"], first["session"], first["country"]) == (17850, 536365, b"United Kingdom")
    retail = load_online_retail()
    described = {row[0]: row[1:] for row in retail.items.iter_rows()}
    for example in examples[:50]:
        events = example["events"]
        for item, description, price in zip(
            events["item"], events["description"], events["unit_price"], strict=True
        ):
            expected_description, expected_price = described[item.decode()]
            assert description.decode() == expected_description
            assert price == np.float32(expected_price)
