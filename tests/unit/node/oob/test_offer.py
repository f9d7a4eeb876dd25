"""Which address a target is told, and whose visits count."""

import ipaddress

import pytest

from fastci.node.oob.offer import NO_DOMAIN, Offer, reachable


@pytest.mark.parametrize(
    ("local", "peer", "machine", "address"),
    [
        ("127.0.0.1", "127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "127.0.0.1", "", "127.0.0.1"),
        ("172.18.0.3", "172.18.0.2", "10.1.2.3", "172.18.0.3"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("::ffff:172.18.0.3", "::ffff:172.18.0.2", "", "172.18.0.3"),
        ("fd00::3", "fd00::2", "", "fd00::3"),
        ("8.8.4.4", "8.8.8.8", "", "8.8.4.4"),
    ],
)
def test_address_is_the_one_that_the_target_is_reached_from(local, peer, machine, address):
    assert reachable(local, peer, machine) == (address, "")


def test_address_behind_a_router_is_none_for_a_target_on_the_internet():
    address, obstacle = reachable("192.168.1.5", "8.8.8.8", "192.168.1.5")
    assert address == ""
    assert "FAST_OOB_ADDRESS" in obstacle


def test_spelling_is_a_name_where_a_domain_leads_here():
    offer = Offer(word="word", domain="oob.example", port=80)
    assert offer.spelling("10.0.0.1", "10.0.0.2").template == "word*.oob.example"


def test_spelling_is_an_address_without_a_domain_and_says_what_is_missing():
    offer = Offer(word="word", port=4000, reason=NO_DOMAIN)
    spelling = offer.spelling("fd00::1", "fd00::2")
    assert spelling.template == "[fd00::1]:4000/word*"
    assert spelling.reason.startswith("oob dns: not possible because")
    assert offer.spelling("192.168.1.5", "8.8.8.8").template == ""
    named = Offer(word="word", port=4000, address="9.9.9.9")
    assert named.spelling("192.168.1.5", "8.8.8.8").template == "9.9.9.9:4000/word*"


def test_spelling_is_nothing_where_nothing_listens():
    assert Offer(reason="oob: not possible because").spelling("10.0.0.1", "10.0.0.2").template == ""


@pytest.mark.parametrize(
    ("source", "peer", "meanwhile", "counts"),
    [
        ("172.18.0.2", "172.18.0.2", False, True),
        ("::ffff:172.18.0.2", "172.18.0.2", False, True),
        # a neighbour: a back end while it answers, else anybody
        ("172.18.0.9", "172.18.0.2", True, True),
        ("172.18.0.9", "172.18.0.2", False, False),
        # behind a port of this machine
        ("172.17.0.2", "127.0.0.1", False, True),
        ("10.1.2.3", "127.0.0.1", False, True),
        ("172.17.0.2", "10.1.2.3", False, True),
        ("127.0.0.2", "127.0.0.1", False, False),
        # the internet
        ("8.8.8.8", "172.18.0.2", True, False),
        ("8.8.8.8", "127.0.0.1", False, False),
        # named, or not known
        ("8.8.4.4", "172.18.0.2", False, True),
        ("", "172.18.0.2", False, True),
    ],
)
def test_visit_counts_when_it_is_the_targets_doing(source, peer, meanwhile, counts):
    offer = Offer(machine="10.1.2.3", sources=(ipaddress.ip_network("8.8.4.0/24"),))
    assert offer.counts(source, peer, meanwhile=meanwhile) is counts


def test_visit_through_an_address_of_ones_own_choice_comes_from_anywhere():
    assert Offer(address="9.9.9.9").counts("8.8.8.8", "10.0.0.2", meanwhile=False)
