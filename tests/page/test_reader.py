"""The page's script, run by node: search, links that hold a state, decks of claims to guess."""

import json
import subprocess

import pytest

from finicky.page import build

SCRIPT = build.TEMPLATES / "script.js"


@pytest.fixture(scope="module")
def node():
    """Evaluate an expression with the script's functions (`r`); returns its value."""

    def evaluated(expression, **given):
        program = (
            f"const r = require({json.dumps(str(SCRIPT))});"
            f"const {{{', '.join(given) or 'x'}}} = {json.dumps(given)};"
            f"console.log(JSON.stringify({expression}));"
        )
        try:
            done = subprocess.run(["node", "-e", program], capture_output=True, text=True)
        except FileNotFoundError:
            pytest.fail("the page's script is tested with node: install the package nodejs")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluated


TEXTS = [
    ["C001", "Here the helper is held", "", "nothing"],
    ["C002", "", "Networks with He's start", "Adam at 0.001"],
    ["C064", "Xavier starts lower", "", "he is ahead by 97.82 pp"],
    ["C065", "N(0, σ²) weights: NaN", "", "Adam"],
    ["C066", "On 10,000 images", "", ""],
    ["C067", "With He as with N", "", ""],
]
RANKED = "r.rank(texts.map((t) => r.entry(...t)), query).places.map((i) => texts[i][0])"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("He", ["C067", "C002", "C064"]),  # whole words: in what is claimed, found, anywhere
        ("hel", ["C001"]),  # from three letters on, beginnings of words
        ("start", ["C002", "C064"]),  # a whole word before a beginning
        ("c064", ["C064"]),
        ("c06", ["C064", "C065", "C066", "C067"]),
        ("97.82", ["C064"]),
        ("97", []),
        ("σ2", ["C065"]),
        ("adam he", ["C002"]),
        ("nan momentum", ["C065"]),  # which no claim has together
        ("does adam lead he", ["C002"]),
        ("momentum", []),
        ("10,000", ["C066"]),
        ("10000 images", ["C066"]),
        ("000", []),
        ("", ["C001", "C002", "C064", "C065", "C066", "C067"]),
    ],
)
def test_search_ranks_words(node, query, found):
    assert node(RANKED, texts=TEXTS, query=query) == found


def test_search_knows_how_many_words_were_found(node):
    said = "(({have, words}) => [have, words])(r.rank(texts.map((t) => r.entry(...t)), query))"
    assert node(said, texts=TEXTS, query="adam he") == [2, 2]
    assert node(said, texts=TEXTS, query="does adam lead he") == [2, 4]
    assert node('r.tokens("Initialization")') == ["initialisation"]


def test_links_keep_their_state(node):
    values = {"q": "he & she, 50 %", "verdict": "undecided,not-reproduced", "fragile": "1"}
    hash_ = node('r.link("find", {...values, kind: ""})', values=values)
    assert hash_.startswith("#find?q=") and "kind" not in hash_ and "verdict=undecided,not" in hash_
    assert node("r.parse(hash)", hash=hash_) == {"name": "find", "values": values}
    assert node('[r.link("find", {}), r.parse("#C058"), r.parse("")]') == [
        "#find", {"name": "C058", "values": {}}, {"name": "", "values": {}},
    ]  # fmt: skip


CLAIM = {"verdict": "undecided", "section": "a", "kind": "number", "data": ["mnist"],
         "fragile": False}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "passes"),
    [
        ({}, True),
        ({"verdict": "reproduced,undecided"}, True),
        ({"verdict": "none"}, False),
        ({"section": "a", "kind": "number", "data": "mnist"}, True),
        ({"data": "fashion_mnist"}, False),
        ({"section": "b"}, False),
        ({"kind": "comparison"}, False),
        ({"fragile": "1"}, False),
    ],
)
def test_filters(node, values, passes):
    assert node("r.passes(claim, values)", claim=CLAIM, values=values) == passes


VERDICTS = ["reproduced", "reproduced-under-conditions", "not-reproduced", "undecided", "opinion"]
INDEX = {f"C{i:03}": {"verdict": VERDICTS[i % 5]} for i in range(100)}


def test_a_number_deals_the_same_ten_claims_to_everybody(node):
    dealt = "r.deal(index, {deck})"
    seventh = node(dealt, index=INDEX, deck="7")
    assert node(dealt, index=dict(reversed(INDEX.items())), deck="7") == seventh
    assert len(set(seventh)) == len(seventh) == 10
    assert {INDEX[claim]["verdict"] for claim in seventh} <= set(VERDICTS[:3])
    others = [node(dealt, index=INDEX, deck=str(deck)) for deck in range(8, 11)]
    assert seventh not in others and len({tuple(deck) for deck in others}) == 3


def test_a_teacher_names_the_claims(node):
    """Only those with a verdict to guess, each once, in the order given."""
    cards = "c012,C000,C012,C003,C999"
    assert node("r.deal(index, {cards})", index=INDEX, cards=cards) == ["C012", "C000"]


def test_the_score_counts_right_guesses_and_those_of_a_believer(node):
    deck = ["C000", "C001", "C002", "C005"]
    guesses = ["reproduced", "reproduced", "not-reproduced", "not-reproduced"]
    said = node("r.score(index, deck, guesses)", index=INDEX, deck=deck, guesses=guesses)
    assert said == {"right": 2, "trusting": 2, "of": 4}
