"""Where does a claim hold? The shortest description of the conditions in which it does.

A description is a conjunction of tests on axes, or a disjunction of two conjunctions, with at most
three tests in all. It says where the claim holds ("where block is plain and depth ≥ 20") or where
alone it does not ("everywhere but where activation is sigmoid"). That is rule learning (Clark &
Niblett 1989, Machine Learning 3; Fürnkranz, Gamberger & Lavrač 2012, Foundations of Rule Learning)
on few enough conditions to search all rules: the choices of levels on all axes of a rule but one
are tried, and on that one each level is put where it is right more often.

Sets of conditions are whole numbers, a bit a condition.
"""

import itertools
import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from finicky.evidence.rules import NOT_REPRODUCED, REPRODUCED

IN, NOT_IN, AT_LEAST, AT_MOST = "in", "not in", "≥", "≤"
MOST_TESTS = 3
FEW = 2  # conditions that a test beyond need has to set right, at least,
ONE_IN = 30  # and one in so many: as many decided verdicts may be wrong (intervals.CONFIDENCE)
LUCKY = 0.05
MOST_TRIED = 200_000  # rules with an open part (see `_Search`) that take a second or two
MOST_A_PLAN = (20_000, 2000, 500, 200)  # of the same axes, the first that keeps to MOST_TRIED
SIZES = (3, 2, 1)  # so sets of at most so many levels are tried, and of all but so many
MOST_SETS = 2000  # of an axis
MOST_NAMED = 4  # levels of a test
NEGLIGIBLE = 0.01  # luck that is bounded below this is not counted out
EXACT = 1000  # up to so many ways to hand out the verdicts, all are tried
SHUFFLES = 200  # else so many random ones are tried
SEED = 0


@dataclass(frozen=True)
class AxisTest:
    """One test: the level is IN or NOT_IN `levels`, or AT_LEAST or AT_MOST the only one of them.

    A condition without this axis passes no test on it.
    """

    axis: str
    op: str
    levels: tuple

    def passes(self, condition):
        """condition: a dict axis -> level."""
        level = condition.get(self.axis)
        if level is None:
            return False
        if self.op in (IN, NOT_IN):
            return (level in self.levels) == (self.op == IN)
        return level >= self.levels[0] if self.op == AT_LEAST else level <= self.levels[0]


@dataclass(frozen=True)
class Tally:
    """Conditions by verdict."""

    hold: int
    fail: int
    undecided: int


@dataclass(frozen=True)
class Where:
    """Where a claim holds, as found by `where`.

    clauses: a tuple of tuples of AxisTest; a condition passes if it passes all tests of a clause.
    exceptions: False, the claim is said to hold where a condition passes (no clause: nowhere);
    True, everywhere but there (no clause: everywhere).
    right, of: decided conditions told right, and all decided ones.
    inside, outside: the conditions where the claim is said to hold, and the others, by verdict, the
    undecided ones too.
    luck: how often a rule of no more tests tells as many right when the decided verdicts are handed
    out at random; below NEGLIGIBLE it is an upper bound. At 1 this is a list of levels rather than
    a rule. None where the description is not good (see `where`).
    explains: whether the description is good, and not one that anything would have.
    dropped: (alias, axis) for each axis that only repeats another one.
    """

    clauses: tuple
    exceptions: bool
    right: int
    of: int
    inside: Tally
    outside: Tally
    luck: float | None
    explains: bool
    dropped: tuple

    @property
    def tests(self):
        return sum(map(len, self.clauses))

    @property
    def beyond_luck(self):
        """Whether the rule may be believed beyond the conditions that it describes."""
        return self.explains and self.luck <= LUCKY

    def covers(self, condition):
        """Whether the claim is said to hold in a condition, a dict axis -> level."""
        passes = any(all(test.passes(condition) for test in clause) for clause in self.clauses)
        return passes != self.exceptions


def where(levels, verdicts, axes=None):
    """Find the shortest description of where a claim holds.

    The order of the conditions does not matter.

    levels: one dict axis -> level (str, bool, int or float) a condition; an axis may be missing in
    some. An axis of numbers is ordered: its tests pick one level, or a run of levels by ≥ and ≤
    (two tests if there are levels on both sides). On other axes a test picks, or excludes, at most
    MOST_NAMED levels.
    verdicts: one a condition, of rules.VERDICTS; all but reproduced (it holds) and not reproduced
    (it fails) count as undecided: they are no mistake on either side. axes: those to look at, the
    preferred one first; None: all, in the order in which the conditions name them.
    Returns a Where. Raises ValueError unless there is one verdict a condition.

    Of all rules with so many tests the one with the fewest mistakes counts; among equals one clause
    goes before two, then the fewest undecided conditions inside, then where it holds before where
    it does not, then the fewest levels named, then the axes that come first. The number of tests is
    settled thus:

    - A rule is good if it tells 9 in 10 decided conditions right, and two thirds both of those that
      hold and of those that fail. "Everywhere" and "nowhere" are therefore never good, however
      rare the other side is.
    - The fewest tests with which a rule is good are enough, unless each further test sets FEW more
      conditions right, and one in ONE_IN.
    - If no rule is good, each test has to set FEW right, and nothing is explained.

    A good rule explains, with one reserve: rules of two and three tests are so many that among few
    conditions there is one for everything. So as good a rule must not be found more often than not
    when the same verdicts are handed out at random (`luck`): in all ways if these are few, else in
    SHUFFLES of them and the given one (Phipson & Smyth 2010, Statistical Applications in Genetics
    and Molecular Biology 9). A rule of one test has no such reserve. It names levels of an axis,
    and no description is shorter; whether to believe it beyond these conditions, `luck` says.

    Random verdicts, 60 maps a size: explained were a fifth to two fifths of the maps of 8 to 12
    conditions, up to 15 % of those of 24 and up to 5 % from 36 on; `beyond_luck` was at most 8 %.
    """
    if len(levels) != len(verdicts):
        raise ValueError(f"{len(levels)} conditions, but {len(verdicts)} verdicts")
    if axes is None:
        axes = list(dict.fromkeys(axis for condition in levels for axis in condition))
    kept, dropped = independent_axes(levels, axes)
    rows = [
        ([level.get(axis) for axis in kept], v) for level, v in zip(levels, verdicts, strict=True)
    ]
    rows.sort(key=repr)
    search = _Search(
        [_Axis(axis, [row[place] for row, _ in rows]) for place, axis in enumerate(kept)],
        _bits(verdict == REPRODUCED for _, verdict in rows),
        _bits(verdict == NOT_REPRODUCED for _, verdict in rows),
        _bits(True for _ in rows),
    )
    found = search.shortest()
    luck = search.luck(found) if found.good else None
    explains = found.good and (found.tests == 1 or luck <= 0.5)
    inside, outside = search.tally(found.inside), search.tally(~found.inside)
    right = inside.hold + outside.fail
    of = right + inside.fail + outside.hold
    return Where(
        found.clauses, found.exceptions, right, of, inside, outside, luck, explains, dropped
    )


def independent_axes(levels, axes):
    """The axes that can explain something, and (alias, axis) for those that repeat another one.

    levels: one dict axis -> level a condition; axes: names, the preferred one first.
    Useless is an axis on which all conditions have the same level. An alias makes the same groups
    of conditions as an axis before it, or coarser ones: who knows that axis's level knows this
    one's. But an axis on which every condition has a level of its own, which determines all others
    and explains nothing, only replaces its equals. Returns (list of axes, tuple of pairs).
    """
    kept, dropped = [], []
    for axis in axes:
        column = [condition.get(axis) for condition in levels]
        if len(set(column)) < 2:
            continue
        original = next((other for other in kept if _determines(other, column, levels)), None)
        if original is None:
            kept.append(axis)
        else:
            dropped.append((axis, original))
    return kept, tuple(dropped)


def _determines(axis, column, levels):
    known = [condition.get(axis) for condition in levels]
    groups, coarser = len(set(known)), len(set(column))
    determined = len(set(zip(known, column, strict=True))) == groups
    return determined and (groups == coarser or groups < len(levels))


def _bits(flags):
    return _bits_at([place for place, flag in enumerate(flags) if flag])


def _bits_at(places):
    return sum([1 << place for place in places])


# ---- The levels of one axis ---------------------------------------------------------------------


class _Axis:
    """An axis: its levels, in order, and the conditions that have them."""

    def __init__(self, name, column):
        self.name = name
        found = {}
        for place, level in enumerate(column):
            if level is not None:
                found[level] = found.get(level, 0) | 1 << place
        self.ordered = not any(isinstance(level, str) for level in found)
        key = None if self.ordered else lambda level: (type(level).__name__, level)
        self.masks = {level: found[level] for level in sorted(found, key=key)}

    def choices(self, decided, size):
        """What a test on this axis can pick of the decided conditions, as {conditions: tests}.

        size: levels of a set that is tried, at most, or levels that it leaves out.
        """
        masks = [mask & decided for mask in self.masks.values() if mask & decided]
        if self.ordered:
            found = {sum(masks[i:j]): _tests(i, j, len(masks)) for i, j in _runs(len(masks))}
        else:
            found = {sum(masks): 1}
            for count in range(1, min(size, len(masks) - 1) + 1):
                if math.comb(len(masks), count) > MOST_SETS:
                    break
                for some in itertools.combinations(masks, count):
                    found[sum(some)] = found[sum(masks) - sum(some)] = 1
        found.pop(decided, None)  # no test at all
        return found

    def fit(self, among, target, others, budget):
        """The best choice of levels among some conditions, by whether these should pass or not.

        Returns (conditions with these levels, tests). Of equally good runs it is the one with the
        fewest tests and levels; in a set, a level that says nothing is left out.
        """
        present = [mask for mask in self.masks.values() if mask & among]
        gains = [_balance(mask & among, target, others) for mask in present]
        if not self.ordered:
            return sum(present[place] for place in _best_set(gains)), 1
        best = None
        for i, j in _runs(len(present)):
            tests, mask = _tests(i, j, len(present)), sum(present[i:j])
            key = (-sum(gains[i:j]), tests, j - i, i)
            if tests <= budget and (best is None or key < best[0]):
                best = key, mask, tests
        return best[1:] if best else (0, 1)

    def in_tests(self, chosen, among):
        """The tests, as few and short as possible, that pick some levels among some conditions."""
        present = {level: mask & chosen for level, mask in self.masks.items() if mask & among}
        levels = tuple(level for level, mask in present.items() if mask)
        others = tuple(level for level, mask in present.items() if not mask)
        if self.ordered and len(levels) > 1:
            first, *_, last = present
            low = () if present[first] and others else ((AT_LEAST, levels[:1]),)
            high = () if present[last] else ((AT_MOST, levels[-1:]),)
            tests = low + high
        elif 0 < len(others) < len(levels):
            tests = ((NOT_IN, others),)
        else:
            tests = ((IN, levels),)
        return tuple(AxisTest(self.name, *test) for test in tests)


def _runs(count):
    """All runs of levels as (first, last + 1)."""
    return itertools.combinations(range(count + 1), 2)


def _tests(first, end, count):
    """How many tests pick the levels from `first` to before `end` of `count` ordered levels."""
    return 1 if first == 0 or end == count or end - first == 1 else 2


def _balance(mask, target, others):
    return (mask & target).bit_count() - (mask & others).bit_count()


# ---- The search ---------------------------------------------------------------------------------


class _Part(NamedTuple):
    """The levels that a rule picks on one axis: conditions that have them, and tests it takes."""

    clause: int  # 0 or 1
    axis: int
    mask: int
    tests: int


class _Open(NamedTuple):
    """What is left to choose in a rule whose levels on one axis are open, of decided conditions."""

    base: int  # they pass in any case
    among: int  # they pass if their level is chosen
    axis: int
    budget: int  # tests for it


@dataclass(frozen=True)
class _Rule:
    """A rule in words. good: see `where`; key: the smallest is preferred among equally right."""

    clauses: tuple
    exceptions: bool
    inside: int
    mistakes: int
    tests: int
    good: bool
    key: tuple


class _Search:
    """The rules for one set of conditions. hold, fail: the decided ones; everything: all."""

    def __init__(self, axes, hold, fail, everything):
        self.axes, self.hold, self.fail, self.everything = axes, hold, fail, everything
        self.decided = hold | fail
        self.undecided = everything & ~self.decided
        self.choices = [[axis.choices(self.decided, size) for axis in axes] for size in SIZES]
        self.masks = [
            [mask & self.decided for mask in axis.masks.values() if mask & self.decided]
            for axis in axes
        ]
        self.opens = lru_cache(self.opens)  # `luck` asks again

    def tally(self, side):
        """Count some conditions by verdict."""
        masks = (self.hold, self.fail, self.undecided)
        return Tally(*((mask & side).bit_count() for mask in masks))

    def shortest(self):
        """The rule to be given, by its number of tests (see `where`)."""
        step = max(FEW, math.ceil(self.decided.bit_count() / ONE_IN))
        everywhere = self.hold.bit_count() > self.fail.bit_count()
        best = self.rule((), everywhere)
        for tests in range(1, MOST_TESTS + 1):
            rule = self.best(tests, best.mistakes - 1)
            if rule is None:
                continue
            gain, more = best.mistakes - rule.mistakes, rule.tests - best.tests
            becomes_good = rule.good and not best.good
            if becomes_good or gain >= more * (step if best.good else FEW):
                best = rule
        return best

    def best(self, tests, most):
        """The best rule of so many tests, if there is one with at most so many mistakes."""
        best = None
        for exceptions in (False, True) if most >= 0 else ():
            opens = self.opens(tests)
            for found in self.fewest_mistakes(opens, most, exceptions, self.hold):
                for parts in opens[found]:
                    rule = self.closed(found, parts, exceptions)
                    if best is None or (rule.mistakes, rule.key) < (best.mistakes, best.key):
                        most, best = rule.mistakes, rule
        return best

    def opens(self, tests):
        """Every rule of so many tests, the axis with most choices left open.

        Returns {_Open: [the rule's parts: ((clause, axis), ...), ((mask, tests), ...)]}, the open
        part last, without a choice.
        """
        found = {}
        for slots, tried in self.tried(tests):
            clause, axis = slots[-1]
            with_it = [other == clause for other, _ in slots[:-1]]
            budgets = (1, 2) if self.axes[axis].ordered else (1,)
            for picked in itertools.product(*tried):
                budget = tests - sum([cost for _, cost in picked])
                if budget in budgets:
                    base, among = self.left(picked, with_it)
                    if among:
                        key = _Open(base, among, axis, budget)
                        found.setdefault(key, []).append((slots, picked))
        return found

    def tried(self, tests):
        """For each plan: its slots, the one with most choices last, and what is tried on the
        others: every choice, if there is time."""
        for most in MOST_A_PLAN:
            plans = []
            for plan in _plans(len(self.axes), tests):
                slots = sorted(plan, key=lambda slot: len(self.choices[0][slot[1]]))
                plans.append((slots, self.few_choices(slots[:-1], most)))
            if sum(math.prod(map(len, tried)) for _, tried in plans) <= MOST_TRIED:
                break
        return plans

    def few_choices(self, slots, most):
        for choices in self.choices:
            tried = [choices[axis].items() for _, axis in slots]
            if math.prod(map(len, tried)) <= most:
                break
        return tried

    def left(self, picked, with_it):
        """The decided conditions that pass whatever an open part picks, and those that pass if it
        picks them. picked: the other parts; with_it: whether each is of the same clause."""
        base = among = self.decided
        for (mask, _), same in zip(picked, with_it, strict=True):
            if same:
                among &= mask
            else:
                base &= mask
        return (0, among) if all(with_it) else (base, among & ~base)

    def fewest_mistakes(self, opens, most, exceptions, hold, first=False):
        """Those open rules that can do with the fewest mistakes, if these are at most `most`.

        exceptions: whether rules say where the claim does not hold; hold: the decided conditions in
        which it does. first: stop at the first such rule.
        """
        target = self.decided & ~hold if exceptions else hold
        others, found = self.decided & ~target, []
        pairs = [[(mask & target, mask & others) for mask in masks] for masks in self.masks]
        for rule in opens:
            base, among, axis, budget = rule
            mistakes = (others & base).bit_count() + (target & ~(base | among)).bit_count()
            if mistakes > most:
                continue
            mistakes += (target & among).bit_count()
            gains = [(t & among).bit_count() - (o & among).bit_count() for t, o in pairs[axis]]
            if self.axes[axis].ordered:
                mistakes -= _best_run(gains, self.masks[axis], among, budget)
            else:
                better = [gain for gain in gains if gain > 0]
                if len(gains) > 2 * MOST_NAMED:
                    gains = [g for g, m in zip(gains, self.masks[axis], strict=True) if m & among]
                    better = [gains[place] for place in _best_set(gains)]
                mistakes -= sum(better)
            if mistakes < most:
                most, found = mistakes, []
            if mistakes == most:
                found.append(rule)
                if first:
                    break
        return found

    def closed(self, open_rule, parts, exceptions):
        """An open rule with its last levels chosen, as a _Rule."""
        picked = (*parts[1], (0, open_rule.budget))
        parts = [_Part(*slot, *some) for slot, some in zip(parts[0], picked, strict=True)]
        return self.rule(self.settled(parts, exceptions), exceptions)

    def settled(self, parts, exceptions):
        """Choose the levels of each part as well as the others allow, the open part's first."""
        sides = (self.fail, self.hold) if exceptions else (self.hold, self.fail)
        for _ in range(MOST_TESTS):
            before = list(parts)
            for place in reversed(range(len(parts))):
                part = parts[place]
                among, _ = _reach(parts, part, self.everything)
                mask, tests = self.axes[part.axis].fit(among, *sides, part.tests)
                parts[place] = part._replace(mask=mask, tests=tests)
            if parts == before:
                break
        return parts

    def rule(self, parts, exceptions):
        """Parts as a _Rule."""
        clauses = {0: (), 1: ()}
        passing = 0
        for part in sorted(parts, key=lambda part: (part.clause, part.axis)):
            among, base = _reach(parts, part, self.everything)
            clauses[part.clause] += self.axes[part.axis].in_tests(part.mask, among)
            passing = base | among & part.mask
        clauses = tuple(tests for tests in clauses.values() if tests)
        tests = [test for clause in clauses for test in clause]
        inside = self.everything & ~passing if exceptions else passing
        good = self.is_good(inside)
        right = (self.hold & inside | self.fail & ~inside).bit_count()
        key = (
            not good,
            len(tests),
            len(clauses),
            (inside & self.undecided).bit_count(),
            exceptions,
            sum(len(test.levels) for test in tests),
            sorted((part.axis, part.clause) for part in parts),
        )
        mistakes = self.decided.bit_count() - right
        return _Rule(clauses, exceptions, inside, mistakes, len(tests), good, key)

    def is_good(self, inside):
        """Nine in ten decided conditions are told right, and two thirds of either side."""
        hold, fail = self.hold & inside, self.fail & ~inside
        right = hold.bit_count() + fail.bit_count()
        return (
            self.hold != 0
            and self.fail != 0
            and 10 * right >= 9 * self.decided.bit_count()
            and 3 * hold.bit_count() >= 2 * self.hold.bit_count()
            and 3 * fail.bit_count() >= 2 * self.fail.bit_count()
        )

    def luck(self, rule):
        """How often a rule of no more tests is as good when verdicts are handed out at random."""
        opens = {key for tests in range(1, rule.tests + 1) for key in self.opens(tests)}
        n, holding = self.decided.bit_count(), self.hold.bit_count()
        rules = 2 * sum(map(self.ways, opens))  # where it holds, and where alone it does not
        bound = rules * max(_as_good(n, holding, size, rule.mistakes) for size in range(n + 1))
        if bound < NEGLIGIBLE:
            return bound
        places = [place for place in range(self.decided.bit_length()) if self.decided >> place & 1]
        if math.comb(n, holding) <= EXACT:
            tried, given = list(itertools.combinations(places, holding)), 0
        else:
            rng = random.Random(SEED)
            tried, given = [rng.sample(places, holding) for _ in range(SHUFFLES)], 1
        as_good = sum(self.reached(opens, rule.mistakes, _bits_at(some)) for some in tried)
        return (as_good + given) / (len(tried) + given)

    def ways(self, open_rule):
        """How many choices of levels an open rule leaves."""
        levels = sum(bool(mask & open_rule.among) for mask in self.masks[open_rule.axis])
        return math.comb(levels + 1, 2) if self.axes[open_rule.axis].ordered else 2**levels

    def reached(self, opens, mistakes, hold):
        """Whether a rule makes at most so many mistakes if these decided conditions hold."""
        return any(
            self.fewest_mistakes(opens, mistakes, exceptions, hold, first=True)
            for exceptions in (False, True)
        )


def _plans(axes, tests):
    """The axes of each rule of at most so many parts, as tuples of (clause, axis)."""
    for count in range(1, tests + 1):
        for chosen in itertools.combinations(range(axes), count):
            yield tuple((0, axis) for axis in chosen)
            if count < tests and count < MOST_TESTS:
                # The second clause is one axis; two single axes are one rule in either order.
                later = chosen[0] + 1 if count == 1 else 0
                yield from ((*((0, a) for a in chosen), (1, b)) for b in range(later, axes))


def _reach(parts, part, everything):
    """What one part of a rule decides: (conditions inside if it picks them, inside anyhow)."""
    among, base = everything, everything
    alone = True
    for other in parts:
        if other.clause != part.clause:
            base &= other.mask
            alone = False
        elif other is not part:
            among &= other.mask
    base = 0 if alone else base
    return among & ~base, base


def _best_set(gains):
    """The places of the levels with a gain, of at most MOST_NAMED levels or of all but so many."""
    better = [place for place, gain in enumerate(gains) if gain > 0]
    if len(better) <= MOST_NAMED or len(gains) - len(better) <= MOST_NAMED:
        return better
    ranked = sorted(range(len(gains)), key=lambda place: (-gains[place], place))
    some, most = sorted(ranked[:MOST_NAMED]), sorted(ranked[:-MOST_NAMED])
    return max(some, most, key=lambda places: sum(gains[place] for place in places))


def _best_run(gains, masks, among, budget):
    """The largest sum of gains over a run of the levels that occur."""
    gains = [gain for gain, mask in zip(gains, masks, strict=True) if mask & among]
    count, best = len(gains), 0
    for first in range(count):
        total = 0
        for end in range(first + 1, count + 1):
            total += gains[end - 1]
            if total > best and _tests(first, end, count) <= budget:
                best = total
    return best


def _as_good(n, holding, size, mistakes):
    """The probability that a rule with `size` of n decided conditions inside makes at most so many
    mistakes when `holding` of the n are drawn at random (hypergeometric)."""
    least = max(0, size + holding - n, math.ceil((size + holding - mistakes) / 2))
    ways = sum(
        math.comb(size, inside) * math.comb(n - size, holding - inside)
        for inside in range(least, min(size, holding) + 1)
    )
    return ways / math.comb(n, holding)
