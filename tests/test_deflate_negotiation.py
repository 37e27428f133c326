"""Which offers of permessage-deflate are accepted, and with what answer (RFC 7692, sections 5 and 7.1)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siocore import PerMessageDeflate
from siocore.http.deflate import Agreement, choose_parameters

#: Takeover in both directions, so that nothing is answered but what was asked for.
OPEN = PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)
NONE = "server_no_context_takeover; client_no_context_takeover"


def answer(offer: str, options: PerMessageDeflate = OPEN) -> str | None:
    agreement = choose_parameters([offer.encode("latin-1")], options)
    return None if agreement is None else agreement.response.decode("ascii")


ANSWERS = {
    "permessage-deflate": "",
    "permessage-deflate; client_max_window_bits": "",
    "permessage-deflate; client_max_window_bits=15": "",
    "permessage-deflate; client_max_window_bits=10": "client_max_window_bits=10",
    'permessage-deflate; client_max_window_bits="10"': "client_max_window_bits=10",
    'permessage-deflate; client_max_window_bits="1\\0"': "client_max_window_bits=10",
    "permessage-deflate; client_max_window_bits=8": "client_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=15": "server_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=9": "server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover": "server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover": "client_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover": NONE,
    "permessage-deflate;server_max_window_bits=11;client_max_window_bits": "server_max_window_bits=11",
    "\tpermessage-deflate \t; \t client_no_context_takeover\t ": "client_no_context_takeover",
    # The first acceptable of several offers.
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": "",
    "permessage-deflate; server_max_window_bits=10, permessage-deflate": "server_max_window_bits=10",
    "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=9": "client_max_window_bits=9",
    'foo; bar="permessage-deflate; unknown", permessage-deflate': "",
    'foo; bar="\\",", permessage-deflate': "",
    ",, permessage-deflate ,,": "",
}

DECLINED = [
    "",
    ",,,",
    "permessage-bzip2",
    "permessage_deflate",
    "Permessage-Deflate",
    "permessage-deflatex",
    "constructor",
    "__class__",
    "permessage-deflate; __init__=1",
    "permessage-deflate; unknown",
    "permessage-deflate; server_no_context_takeover=1",
    'permessage-deflate; server_no_context_takeover=""',
    "permessage-deflate; client_no_context_takeover=true",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=8",
    *[
        f"permessage-deflate; {side}_max_window_bits={value}"
        for side, value in product(
            ("server", "client"), ("7", "16", "0", "-9", "+9", "08", "9.0", "abc", "1000", "9" * 5_000, '""', '" 9"')
        )
    ],
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
    # Not well-formed: nothing of it counts.
    "permessage-deflate; client_max_window_bits=",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate;",
    "permessage-deflate;;client_no_context_takeover",
    "permessage-deflate client_no_context_takeover",
    "permessage-deflate; =1",
    "permessage-deflate, ;",
    "permessage-deflate, foo bar",
    'permessage-deflate; client_max_window_bits="10',
    'permessage-deflate; client_max_window_bits="10\\',
    "permessage-deflate=1",
    "permessage-deflate; client_max_window_bits=10=10",
    "permessage-deflate; client_max_window_bits = 10",
    "permessage-deflate\x00",
    "permessage-deflate; client_max_window_bits=\xb9",
    ";" * 4_096,
    "permessage-deflate" + ";" * 4_096,
    "permessage-deflate" + " " * 4_096 + "x",
    '"permessage-deflate"',
]


@pytest.mark.parametrize("offer", ANSWERS)
def test_acceptable_offers(offer: str) -> None:
    expected = ANSWERS[offer]
    assert answer(offer) == ("permessage-deflate" + ("; " + expected if expected else ""))


@pytest.mark.parametrize("offer", DECLINED, ids=[offer[:60] for offer in DECLINED])
def test_offers_that_are_declined(offer: str) -> None:
    assert answer(offer) is None


def test_several_headers_are_one_list() -> None:
    offers = [b"foo", b"permessage-deflate; server_max_window_bits=10", b"permessage-deflate"]
    agreement = choose_parameters(offers, OPEN)
    assert agreement is not None
    assert agreement.server_bits == 10
    assert choose_parameters([*offers, b"="], OPEN) is None
    assert choose_parameters([], OPEN) is None


def test_every_combination_of_what_both_sides_may_say() -> None:
    switches = (False, True)
    windows = (None, 9, 12, 15)
    for ours in product(switches, switches, (9, 12, 15), (9, 12, 15)):
        options = PerMessageDeflate(
            server_no_context_takeover=ours[0],
            client_no_context_takeover=ours[1],
            server_max_window_bits=ours[2],
            client_max_window_bits=ours[3],
        )
        for theirs in product(switches, switches, windows, (*windows, "any")):
            offer = "permessage-deflate"
            offer += "; server_no_context_takeover" if theirs[0] else ""
            offer += "; client_no_context_takeover" if theirs[1] else ""
            offer += f"; server_max_window_bits={theirs[2]}" if theirs[2] else ""
            offer += "; client_max_window_bits" if theirs[3] else ""
            offer += f"={theirs[3]}" if isinstance(theirs[3], int) else ""
            agreement = choose_parameters([offer.encode()], options)
            assert agreement is not None
            asked = theirs[3] if isinstance(theirs[3], int) else 15
            assert agreement.server_takeover == (not (ours[0] or theirs[0]))
            assert agreement.client_takeover == (not (ours[1] or theirs[1]))
            assert agreement.server_bits == min(ours[2], theirs[2] or 15)
            # Who does not say that it can choose its window may use the largest.
            assert agreement.client_bits == (min(ours[3], asked) if theirs[3] else 15)
            assert_told(agreement, asked=theirs[2] is not None, can_be_told=theirs[3] is not None)


def assert_told(agreement: Agreement, *, asked: bool, can_be_told: bool) -> None:
    """The answer tells the client all that it has to know, and nothing that it has not asked for."""
    _, *told = agreement.response.decode("ascii").split("; ")
    expected = []
    if not agreement.server_takeover:
        expected.append("server_no_context_takeover")
    if not agreement.client_takeover:
        expected.append("client_no_context_takeover")
    if asked:
        expected.append(f"server_max_window_bits={agreement.server_bits}")
    if can_be_told and agreement.client_bits < 15:
        expected.append(f"client_max_window_bits={agreement.client_bits}")
    assert told == expected


PIECES = ["permessage-deflate", "server_max_window_bits", "client_no_context_takeover", "8", "15", "x"]


@given(
    st.lists(
        st.sampled_from([*PIECES, *';,="\\ \x00é']),
        max_size=40,
    ).map("".join)
)
def test_no_offer_raises(offer: str) -> None:
    choose_parameters([offer.encode("latin-1")], OPEN)
