import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.errors import BadRowsError, DataError
from darl.pairs.converters import read_esci
from darl.pairs.converters.esci import EXAMPLES, PRODUCTS, SCALE


@pytest.fixture
def folder(tmp_path):
    columns = ["example_id", "query", "query_id", "product_id", "product_locale", "esci_label"]
    columns += ["small_version", "large_version", "split"]
    examples = [
        (0, "blue kettle", 7, "B1", "us", "E", 1, 1, "train"),
        (1, "blue kettle", 7, "B2", "us", "S", 1, 1, "train"),
        (2, "blue kettle", 7, "B3", "us", "I", 0, 1, "train"),
        (3, "oat cup", 8, "B2", "us", "C", 1, 1, "test"),
        (4, "tetera azul", 9, "B1", "es", "E", 1, 1, "train"),
    ]
    fields = ["product_id", "product_title", "product_description", "product_bullet_point"]
    fields += ["product_brand", "product_color", "product_locale"]
    products = [
        ("B1", "Kettle Blue 1 l", "boils", None, "Hearth", "blue", "us"),
        ("B2", "Mug", None, None, None, "white", "us"),
        ("B3", "Rake", None, None, "Field", None, "us"),
        ("B1", "Hervidor 1 l", None, None, None, "azul", "es"),
    ]
    for name, header, rows in ((EXAMPLES, columns, examples), (PRODUCTS, fields, products)):
        pq.write_table(pa.table(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))), tmp_path / name)
    return tmp_path


def test_the_small_english_version(folder):
    table = read_esci(folder)
    assert table.items == ["Kettle Blue 1 l", "Mug", "Mug"]
    assert [SCALE.names[grade] for grade in table.grades] == ["exact", "substitute", "complement"]
    assert table.column("split") == ["train", "train", "test"]
    assert table.column("query_id") == ["7", "7", "8"]
    assert table.column("item_id") == ["B1", "B2", "B2"]
    assert table.column("row") == [1, 2, 4]


def test_options(folder):
    assert read_esci(folder, version="large", split="train").grades.tolist() == [3, 2, 0]
    assert read_esci(folder, locale="es").items == ["Hervidor 1 l"]
    assert len(read_esci(folder, locale=None, version="large")) == 5
    fields = ("product_title", "product_brand", "product_color")
    assert read_esci(folder, fields=fields).items[:2] == ["Kettle Blue 1 l | Hearth | blue", "Mug | white"]


def test_what_is_missing_is_named(folder):
    products = pq.read_table(folder / PRODUCTS)
    pq.write_table(products.slice(1), folder / PRODUCTS)
    with pytest.raises(BadRowsError, match="1 × item is missing"):
        read_esci(folder)
    assert len(read_esci(folder, on_bad_rows="skip")) == 2
    pq.write_table(products.drop_columns(["product_title"]), folder / PRODUCTS)
    with pytest.raises(DataError, match="no column 'product_title'"):
        read_esci(folder)
