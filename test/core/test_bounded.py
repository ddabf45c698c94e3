from __future__ import annotations

from vla_inference_ros.core.bounded import BoundedTable


def filled() -> BoundedTable[str, int]:
    table = BoundedTable[str, int](3, patience=5.0)
    assert all(table.put(key, number, float(number)) for number, key in enumerate("abc"))
    return table


def test_a_full_table_takes_a_new_key_in_place_of_the_one_silent_for_longest() -> None:
    table = filled()
    assert not table.put("d", 9, 4.9)
    assert (table.get("d"), len(table)) == (None, 3)
    assert table.put("d", 9, 5.0)
    assert list(table) == ["b", "c", "d"]
    assert (table.get("a"), table.get("d")) == (None, 9)


def test_a_key_that_is_heard_of_keeps_its_place() -> None:
    table = filled()
    assert table.put("a", 7, 5.5)
    assert table.put("d", 9, 6.5)
    assert list(table) == ["c", "a", "d"]
    assert table.get("a") == 7


def test_no_number_of_keys_makes_it_larger() -> None:
    table = filled()
    for number in range(3000):
        table.put(str(number), number, 5.0 + number / 1000)
    assert len(table) == 3
