#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Firmware: images are written by `devlink dev flash` and run after an activation; what is no good image is refused."""

import tempfile
from pathlib import Path

from ferrite import (KsftNamedVariant, Pair, cmd, defer, devlink, ksft_eq, ksft_in, ksft_ne, ksft_variants, log, make_sf,
                     need_dpus, put, refused, run, set_mode, wait_for)

MAKE = "/ferrite/tools/firmware"
LOADER = Path("/sys/module/firmware_class/parameters/path")


def directory():
    """Returns a directory in which the kernel looks for firmware, for the length of the test."""
    place = tempfile.TemporaryDirectory()
    defer(place.cleanup)
    before = LOADER.read_text(encoding="ascii").strip()
    defer(put, LOADER, before or "\n")
    put(LOADER, place.name)
    return Path(place.name)


def image(place, version, words="", payload=b"x" * 20_000):
    """Makes an image and returns its name."""
    (place / "payload").write_bytes(payload)
    cmd(f"{MAKE} --version {version} --payload {place}/payload {words} {place}/image-{version}")
    return f"image-{version}"


def flash(pci, name, words=""):
    """Writes an image; returns what devlink says meanwhile."""
    return cmd(f"devlink dev flash pci/{pci} file {name} {words}", timeout=60).stdout


def versions(pci):
    """Returns the versions that `devlink dev info` tells."""
    return devlink(f"dev info pci/{pci}")["info"][f"pci/{pci}"]["versions"]


def running(pci, name="fw"):
    return versions(pci)["running"][name]


def activate(pci):
    """Activates what is stored."""
    ksft_in("fw_activate", cmd(f"devlink dev reload pci/{pci} action fw_activate", timeout=60).stdout)


def back_to(pci, place, version):
    """Has the DPU run that version of its firmware, at the end of the test."""
    def write():
        flash(pci, image(place, version))
        activate(pci)
    defer(write)


def an_image_is_stored_and_runs_after_its_activation_under_traffic():
    left, right = need_dpus(2)
    defer(left.restore)
    place = directory()
    made = Pair(left.wait_netdev(), right.wait_netdev())
    before = running(left)
    back_to(left, place, before)
    said = flash(left, image(place, "7.1.2"))
    for what in ("[fw] Preparing to flash", "[fw] Flashing", "[fw] Flashing done"):
        ksft_in(what, said)
    ksft_eq((running(left), versions(left)["stored"]["fw"]), (before, "7.1.2"))
    with made.stream() as stream:
        activate(left)
        ksft_eq(running(left), "7.1.2")
        made.left.wait_up()
        packets = stream.packets()
        wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), packets)), "the streams to go on")


def functions_are_there_after_an_activation():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.wait_netdev()
    place = directory()
    back_to(pci, place, running(pci))
    set_mode(pci, "switchdev")
    port, _ = make_sf(pci, 3, "hw_addr 02:00:00:00:03:03")
    flash(pci, image(place, "7.2.0"))
    activate(pci)
    ksft_eq(running(pci), "7.2.0")
    wait_for(lambda: port.function("opstate") == "attached", "the SF to have its driver again")
    ksft_eq(port.function("hw_addr"), "02:00:00:00:03:03")


def parameters_and_identity_stay_unless_the_user_says_otherwise():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    place = directory()
    before = versions(pci)
    back_to(pci, place, before["running"]["fw"])
    words = "--psid TEST-PSID --board test-board"
    flash(pci, image(place, "7.3.0", words))
    activate(pci)
    after = versions(pci)
    ksft_eq((after["running"]["fw.psid"], after["fixed"]["board.id"]),
            (before["running"]["fw.psid"], before["fixed"]["board.id"]))
    flash(pci, image(place, "7.3.1", words), "overwrite settings")
    activate(pci)
    after = versions(pci)
    ksft_eq((after["running"]["fw.psid"], after["fixed"]["board.id"]), ("TEST-PSID", before["fixed"]["board.id"]))
    flash(pci, image(place, "7.3.2", words), "overwrite settings overwrite identifiers")
    activate(pci)
    ksft_eq(versions(pci)["fixed"]["board.id"], "test-board")
    words = f"--psid {before['running']['fw.psid']} --board {before['fixed']['board.id']}"
    flash(pci, image(place, "7.3.3", words), "overwrite settings overwrite identifiers")
    activate(pci)


def a_component_is_written_alone():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    place = directory()
    before = versions(pci)["stored"]
    name = image(place, "9.0.1", "--component boot")
    flash(pci, name, "component fw.undi")
    after = versions(pci)["stored"]
    ksft_eq((after["fw"], after["fw.undi"]), (before["fw"], "9.0.1"))
    refused(f"dev flash pci/{pci} file {name} component fw", "it is of another component")
    refused(f"dev flash pci/{pci} file {name} component fw.psid", "not supported")
    # The image says itself what it is for.
    flash(pci, image(place, "9.0.2", "--component boot"))
    ksft_eq(versions(pci)["stored"]["fw.undi"], "9.0.2")


def flip(at):
    """Returns what damages an image in one place."""
    def damage(good):
        return good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:]
    return damage


BAD = [
    ("no_image", lambda good: b"#!/bin/sh\n" * 20, "of no component|no firmware image"),
    ("too_short", lambda good: good[:100], "too short"),
    ("too_long", lambda good: good + bytes(2 << 20), "takes no image of this size"),
    ("other_magic", flip(0), "no firmware image"),
    ("damaged_header", flip(40), "its header is damaged"),
    ("damaged_payload", flip(5000), "it is damaged"),
    ("cut_off", lambda good: good[:-1], "longer or shorter than it says"),
]


@ksft_variants([KsftNamedVariant(name, damage, why) for name, damage, why in BAD])
def a_bad_image_is_refused(damage, why):
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    place = directory()
    before = versions(pci)
    good = (place / image(place, "8.0.0")).read_bytes()
    (place / "bad").write_bytes(damage(good))
    refused(f"dev flash pci/{pci} file bad", why)
    ksft_eq(versions(pci)["running"], before["running"])
    ksft_ne(versions(pci)["stored"]["fw"], "8.0.0")


def an_image_for_another_asic_is_refused():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    place = directory()
    refused(f"dev flash pci/{pci} file {image(place, '8.0.0', '--asic granite-7')}", "for another ASIC")
    log.expect("Direct firmware load for nothing-here failed")
    refused(f"dev flash pci/{pci} file nothing-here", "failed to locate")


def the_flash_passes_its_test():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    ksft_in("flash", cmd(f"devlink dev selftests show pci/{pci}").stdout)
    ksft_in("pass", cmd(f"devlink dev selftests run pci/{pci} id flash").stdout)


def a_vf_has_no_firmware_of_its_own():
    pci = need_dpus(1)[0]
    place = directory()
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 1)
    vf = pci.vfs[0]
    vf.wait_netdev()
    ksft_eq(running(vf), running(pci))
    refused(f"dev flash pci/{vf} file {image(place, '8.0.0')}", "through the PF")
    refused(f"dev reload pci/{vf} action fw_activate", "through the PF")


if __name__ == "__main__":
    run(an_image_is_stored_and_runs_after_its_activation_under_traffic, functions_are_there_after_an_activation,
        parameters_and_identity_stay_unless_the_user_says_otherwise, a_component_is_written_alone, a_bad_image_is_refused,
        an_image_for_another_asic_is_refused, the_flash_passes_its_test, a_vf_has_no_firmware_of_its_own)
