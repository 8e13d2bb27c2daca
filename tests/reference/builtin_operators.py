"""What every runtime of LiteRT has."""


def require_builtin_operators(file):
    """Fails where a LiteRT file has an operator that needs more."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(file.read_bytes(), 0)
    codes = [model.OperatorCodes(place) for place in range(model.OperatorCodesLength())]
    assert len(codes) > 20
    for code in codes:
        assert code.CustomCode() is None
        assert code.BuiltinCode() != schema.BuiltinOperator.CUSTOM
