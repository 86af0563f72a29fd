import pytest

from darl.errors import BadRowsError
from darl.pairs.converters import read_wands
from darl.pairs.converters.wands import SCALE


@pytest.fixture
def folder(tmp_path):
    header = "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\tproduct_features"
    header += "\trating_count\taverage_rating\treview_count"
    files = {
        "query.csv": ["query_id\tquery\tquery_class", "0\tround rug\tRugs", "1\toak desk\t"],
        "product.csv": [
            header,
            '10\tcircle rug 5\' x 5"\tRugs\tDecor / Rugs\t"soft, ""thick"""\tcolor:red|pile:low\t3\t4.5\t2',
            "11\toak table\tTables\tFurniture\t\tcolor:oak\t\t\t",
        ],
        "label.csv": [
            "id\tquery_id\tproduct_id\tlabel",
            "0\t0\t10\tExact",
            "1\t0\t11\tIrrelevant",
            "2\t1\t11\tPartial",
        ],
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_pairs(folder):
    table = read_wands(folder)
    assert table.queries == ["round rug", "round rug", "oak desk"]
    assert table.items == ["circle rug 5' x 5\"", "oak table", "oak table"]
    assert [SCALE.names[grade] for grade in table.grades] == ["Exact", "Irrelevant", "Partial"]
    assert table.column("domain") == ["Rugs", "Rugs", None]
    assert table.place(0) == f"{folder / 'label.csv'}:2"
    described = read_wands(folder, fields=("product_name", "product_description"))
    assert described.items[0] == 'circle rug 5\' x 5" | soft, "thick"'
    assert described.items[1] == "oak table"


def test_bad_labels_and_missing_products_are_listed(folder):
    with (folder / "label.csv").open("a") as file:
        file.write("3\t1\t99\tExact\n4\t1\t10\tSuperb\n5\t1\n")
    with pytest.raises(BadRowsError) as caught:
        read_wands(folder)
    reasons = [(fault.row, fault.reason) for fault in caught.value.rows]
    assert reasons == [(5, "item is missing"), (6, "unknown grade"), (7, "ragged row")]
    assert len(read_wands(folder, on_bad_rows="skip")) == 3
