"""The tests mirror the package: `tests/codegen/ir/test_tile.py` tests `tritloom/codegen/ir/tile.py`."""
