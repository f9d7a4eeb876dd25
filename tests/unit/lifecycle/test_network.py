import pytest

from fastci.errors import UsageError
from fastci.lifecycle.network import Surroundings, choose_attachment, names_of_engine, own_container_id

OWN = "a" * 64


def test_attachment_on_a_plain_machine_is_the_machines_own_network():
    attachment = choose_attachment(Surroundings())
    assert (attachment.mode, attachment.shares, attachment.publish) == ("host", True, "")


def test_attachment_inside_a_container_is_that_containers_network():
    attachment = choose_attachment(Surroundings(own_container=OWN, own_networks=("job",)))
    assert (attachment.mode, attachment.shares) == (f"container:{OWN}", True)


def test_attachment_of_an_engine_elsewhere_publishes_on_its_address():
    attachment = choose_attachment(Surroundings(local=False, engine_host="docker"))
    assert (attachment.mode, attachment.publish, attachment.shares) == ("bridge", "0.0.0.0", False)


def test_attachment_of_an_engine_in_a_machine_of_its_own_publishes_on_loopback():
    assert choose_attachment(Surroundings(local=False)).publish == "127.0.0.1"


def test_attachment_to_a_wanted_network_joins_and_publishes():
    attachment = choose_attachment(Surroundings(wanted="shop", known=["shop"]))
    assert (attachment.network, attachment.publish, attachment.shares) == ("shop", "127.0.0.1", False)


def test_attachment_to_the_network_the_job_is_on_publishes_nothing():
    around = Surroundings(own_container=OWN, own_networks=("shop",), wanted="shop", known=["shop"])
    assert choose_attachment(around).publish == ""


def test_attachment_to_host_as_told_shares_only_where_the_engine_is_local():
    assert choose_attachment(Surroundings(wanted="host")).shares
    assert not choose_attachment(Surroundings(wanted="host", local=False, engine_host="docker")).shares


def test_names_of_an_engine_are_its_own_and_never_an_address():
    assert names_of_engine("docker") == ["host.docker.internal", "docker"]
    assert names_of_engine("10.1.2.3") == names_of_engine("::1") == ["host.docker.internal"]


@pytest.mark.parametrize("wanted", ["shopp", "none"])
def test_attachment_to_a_network_that_cannot_work_is_refused_by_name(wanted):
    with pytest.raises(UsageError) as caught:
        choose_attachment(Surroundings(wanted=wanted, known=["shop", "bridge"]))
    assert wanted in caught.value.what


def test_own_container_is_found_by_the_mounts_of_its_name_files():
    line = f"648 633 0:53 /var/lib/docker/containers/{OWN}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
    podman = (
        f"1 2 0:5 /containers/overlay-containers/{OWN}/userdata/resolv.conf /etc/resolv.conf rw - tmpfs\n"
    )
    assert own_container_id(line) == OWN
    assert own_container_id(podman) == OWN


def test_own_container_of_a_machine_that_runs_others_is_none():
    line = f"648 633 0:53 / /var/lib/docker/containers/{OWN}/mounts/shm rw - tmpfs shm rw\n"
    assert own_container_id(line) == ""
