from itertools import pairwise
from uuid import UUID, uuid1, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import (
    EPOCH_MS,
    MAX_MS,
    MAX_SEQUENCE,
    MAX_WORKER,
    InvalidId,
    Minter,
    check_id,
    from_snowflake,
    make_id,
    ms_of,
    parse_id,
    sequence_of,
    time_of,
    to_snowflake,
    worker_of,
)

parts = st.tuples(st.integers(EPOCH_MS, MAX_MS), st.integers(0, MAX_SEQUENCE), st.integers(0, MAX_WORKER))


@given(parts)
def test_an_id_gives_back_what_it_was_made_of(of: tuple[int, int, int]) -> None:
    made = make_id(*of)
    assert (ms_of(made), sequence_of(made), worker_of(made)) == of
    assert made.version == 8
    assert made.variant == "specified in RFC 4122"
    assert parse_id(str(made)) == parse_id(str(made).upper()) == made


@given(parts, parts)
def test_ids_bytes_texts_and_snowflakes_have_the_same_order(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    one, two = make_id(*a), make_id(*b)
    expected = a < b
    assert (one < two) == expected
    assert (one.bytes < two.bytes) == expected
    assert (str(one) < str(two)) == expected
    assert (to_snowflake(one) < to_snowflake(two)) == expected


@given(st.integers(0, 2**64 - 1))
def test_every_64_bit_snowflake_is_an_id_and_back(snowflake: int) -> None:
    assert to_snowflake(from_snowflake(snowflake)) == snowflake


@given(st.uuids())
def test_an_arbitrary_uuid_is_refused_or_maps_both_ways(value: UUID) -> None:
    try:
        check_id(value)
    except InvalidId:
        with pytest.raises(InvalidId):
            to_snowflake(value)
    else:
        assert from_snowflake(to_snowflake(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        str(uuid4()),
        str(uuid1()),
        str(UUID(int=0)),
        str(UUID(int=2**128 - 1)),
        "{" + str(make_id(EPOCH_MS, 0, 0)) + "}",
        make_id(EPOCH_MS, 0, 0).hex,
        str(UUID(int=make_id(EPOCH_MS, 0, 0).int | 1)),
        str(UUID(int=make_id(EPOCH_MS, 0, 0).int - (1 << 80))),
        str(UUID(int=make_id(EPOCH_MS, 0, 0).int ^ (1 << 62))),
    ],
)
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_id(text)


@pytest.mark.parametrize("of", [(EPOCH_MS - 1, 0, 0), (MAX_MS + 1, 0, 0), (EPOCH_MS, 4096, 0), (EPOCH_MS, 0, 1024)])
def test_numbers_out_of_range_make_no_id(of: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidId):
        make_id(*of)


@pytest.mark.parametrize("snowflake", [-1, 2**64])
def test_a_snowflake_beyond_64_bits_is_refused(snowflake: int) -> None:
    with pytest.raises(InvalidId):
        from_snowflake(snowflake)


@given(st.lists(st.integers(EPOCH_MS * 1000, EPOCH_MS * 1000 + 5000), min_size=2))
def test_minting_never_goes_backwards_whatever_the_clock_does(clock: list[int]) -> None:
    minter = Minter(7)
    ids = [minter.mint(now) for now in clock]
    assert all(a < b for a, b in pairwise(ids))
    assert {worker_of(each) for each in ids} == {7}


def test_a_minter_goes_on_after_the_last_id_of_its_earlier_life() -> None:
    last_us = EPOCH_MS * 1000 + 9_999_999
    made = Minter(0, last_us).mint(EPOCH_MS * 1000)
    assert made > make_id(last_us // 1000, last_us % 1000, 0)


def test_a_moment_before_the_last_one_is_not_taken() -> None:
    minter = Minter(0)
    minter.mint(EPOCH_MS * 1000 + 5)
    with pytest.raises(ValueError, match="backwards"):
        minter.take(EPOCH_MS * 1000 + 5)


def test_the_time_of_an_id_is_utc() -> None:
    assert time_of(make_id(EPOCH_MS + 1, 0, 0)).isoformat() == "2015-01-01T00:00:00.001000+00:00"


@pytest.mark.parametrize("worker", [-1, 1024])
def test_a_worker_number_has_ten_bits(worker: int) -> None:
    with pytest.raises(InvalidId):
        Minter(worker)
