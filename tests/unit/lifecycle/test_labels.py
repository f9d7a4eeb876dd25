import os

from lifecycle_fakes import labels_of

from fastci.config import Mode
from fastci.lifecycle.labels import SELECTOR, make_labels, parse_labels
from fastci.lifecycle.sessions import identity


def test_labels_rendered_and_parsed_are_equal():
    labels = labels_of(build_id="b1", owner="x/y/1/2", record_id="rec_0007", mode=Mode.TESTING)
    assert parse_labels(labels.render()) == labels


def test_labels_of_somebody_else_are_none():
    assert parse_labels({"com.example": "1"}) is None


def test_labels_damaged_deadline_counts_as_passed():
    damaged = labels_of().render() | {"org.fast-action.deadline": "soon"}
    assert parse_labels(damaged).is_leftover(1001)


def test_selector_names_a_label_that_all_nodes_have():
    name, _, value = SELECTOR.partition("=")
    assert labels_of().render()[name] == value


def test_leftover_is_what_outlived_its_deadline():
    assert not labels_of().is_leftover(1999)
    assert labels_of().is_leftover(2001)


def test_leftover_is_what_lost_its_owner_before_the_deadline():
    own = identity(os.getpid())
    boot, space, _, start = own.split("/")
    assert not labels_of(owner=own).is_leftover(1500)
    assert labels_of(owner=f"{boot}/{space}/{os.getpid()}/{int(start) - 1}").is_leftover(1500)


def test_leftover_needs_the_deadline_where_the_owner_cannot_be_seen():
    assert not labels_of(owner="another-boot/4026531836/1/1").is_leftover(1500)
    assert labels_of(owner="another-boot/4026531836/1/1").is_leftover(2001)


def test_leftover_is_what_was_made_far_in_the_future_by_a_clock_set_back():
    assert labels_of(created=9_000_000, deadline=9_001_000).is_leftover(1000)
    assert not labels_of(created=1100, deadline=2100).is_leftover(1000)


def test_made_labels_name_this_process_unless_untended():
    tended = make_labels(job="j", mode=Mode.TESTING, build_id="", lifetime=60)
    forgotten = make_labels(job="j", mode=Mode.RECORDING, build_id="", lifetime=60, tended=False)
    assert tended.owner == identity(os.getpid())
    assert forgotten.owner == ""
    assert tended.deadline - tended.created == 60


def test_leftover_is_never_what_has_a_living_owner_wherever_the_clock_jumped():
    mine = labels_of(owner=identity(os.getpid()))
    assert not mine.is_leftover(mine.deadline + 1e9)
    assert not mine.is_leftover(0)
