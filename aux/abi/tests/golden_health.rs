// SPDX-License-Identifier: GPL-2.0

//! Golden bytes of firmware, traps and crash dumps: commands, and the header of images; see `golden.rs`.

mod hex;

use ferrite_abi::cmd::*;
use ferrite_abi::event::PacketTrapped;
use ferrite_abi::firmware::*;
use ferrite_abi::wire::*;
use hex::golden;

#[test]
fn query_firmware() {
    golden(
        QueryFirmware {
            component: U16::new(1),
            rsvd: [0; 2],
        },
        "01 00 00 00",
    );
    golden(
        FirmwareInfo {
            running: U32::new(0x0102_0003),
            stored: U32::new(0x0203_0004),
            running_slot: 1,
            stored_slot: 2,
            slots: 3,
            activating: 4,
            rsvd: [0; 4],
            psid: *b"0123456789abcdef0123456789abcdef",
            board: [0x55; 32],
            rsvd2: [0; 48],
        },
        "03 00 02 01 04 00 03 02 01 02 03 04 00*4
         30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66
         30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66
         55*32 00*48",
    );
}

#[test]
fn flash() {
    golden(
        BeginFlash {
            component: U16::new(1),
            overwrite: U16::new(3),
            length: U32::new(0x0403_0201),
        },
        "01 00 03 00 01 02 03 04",
    );
    golden(
        WriteFlash {
            offset: U32::new(0x0403_0201),
            length: U32::new(0x0000_1000),
        },
        "01 02 03 04 00 10 00 00",
    );
    golden(
        TestFlash {
            component: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    golden(FlashChunk { bytes: [7; 4096] }, "07*4096");
    golden(
        FlashVerdict {
            fault: U16::new(7),
            slot: 1,
            rsvd: 0,
        },
        "07 00 01 00",
    );
}

#[test]
fn traps() {
    golden(
        SetTrap {
            cause: U16::new(5),
            action: U16::new(1),
            policer: U16::new(2),
            rsvd: [0; 2],
        },
        "05 00 01 00 02 00 00 00",
    );
    golden(
        SetTrapPolicer {
            policer: U16::new(1),
            rsvd: [0; 2],
            rate: U32::new(1000),
            burst: U32::new(128),
        },
        "01 00 00 00 e8 03 00 00 80 00 00 00",
    );
    golden(
        TrapStats {
            dropped: [U64::new(1); 8],
            policed: [U64::new(2); 4],
        },
        "01 00*7 01 00*7 01 00*7 01 00*7 01 00*7 01 00*7 01 00*7 01 00*7
         02 00*7 02 00*7 02 00*7 02 00*7",
    );
    golden(
        ReadTrappedDone {
            cause: U16::new(3),
            port: U16::new(0xffff),
            length: U16::new(60),
            left: U16::new(0x0102),
        },
        "03 00 ff ff 3c 00 02 01",
    );
    golden(TrappedPacket { bytes: [9; 4096] }, "09*4096");
    golden(
        PacketTrapped {
            cause: U16::new(6),
            rsvd: [0; 2],
        },
        "06 00 00 00",
    );
}

#[test]
fn crash_dump() {
    golden(
        CrashCommand {
            time: U64::new(0x0807_0605_0403_0201),
            opcode: U16::new(0x0701),
            tag: U16::new(0x0a09),
            sender: U16::new(1),
            function: U16::new(0x0100),
            status: U16::new(0xffff),
            rsvd: [0; 14],
        },
        "01 02 03 04 05 06 07 08 01 07 09 0a 01 00 00 01 ff ff 00*14",
    );
    golden(
        CrashDump {
            time: U64::new(1),
            crashes: U32::new(2),
            count: U32::new(3),
            firmware: U32::new(0x0100_0000),
            rsvd: [0; 44],
            commands: [CrashCommand::default(); CRASH_COMMANDS],
        },
        "01 00*7 02 00*3 03 00*3 00*3 01 00*44 00*2048",
    );
}

#[test]
fn image_header() {
    golden(
        ImageHeader {
            magic: IMAGE_MAGIC,
            header_version: U16::new(IMAGE_VERSION),
            component: U16::new(0),
            version: U32::new(0x0200_0007),
            asic: *b"ferrite-1\0\0\0\0\0\0\0",
            psid: [0x41; 32],
            board: [0x42; 32],
            length: U32::new(0x0000_1234),
            checksum: U32::new(0xcbf4_3926),
            rsvd: [0; 20],
            header_checksum: U32::new(0x0403_0201),
        },
        "46 45 52 52 49 54 46 57 01 00 00 00 07 00 00 02
         66 65 72 72 69 74 65 2d 31 00*7
         41*32 42*32
         34 12 00 00 26 39 f4 cb 00*20 01 02 03 04",
    );
}
