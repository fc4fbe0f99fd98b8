// SPDX-License-Identifier: GPL-2.0

//! Golden bytes of the commands about virtio functions; see `golden.rs`.

mod hex;

use ferrite_abi::admin::Submission;
use ferrite_abi::bar::{
    Doorbell,
    DOORBELL_NOTIFY, //
};
use ferrite_abi::cmd::*;
use ferrite_abi::event::VirtioChange;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::*;
use hex::{
    bytes,
    golden, //
};

#[test]
fn device_comes_and_goes() {
    golden(
        QueryVirtioDone {
            features: U64::new(0x8001_0143_3000_0000),
            max_pairs: U16::new(8),
            max_size: U16::new(0x1000),
            max_mappings: U32::new(0x8000),
            address_spaces: U16::new(4),
            config_size: U16::new(24),
        },
        "00 00 00 30 43 01 01 80
         08 00
         00 10
         00 80 00 00
         04 00
         18 00",
    );
    golden(
        CreateVirtio {
            features: U64::new(0x0000_0003_0000_8020),
            mac: [0x02, 0x11, 0x12, 0x13, 0x14, 0x15],
            mtu: U16::new(9000),
            pairs: U16::new(4),
            rsvd: [0; 6],
        },
        "20 80 00 00 03 00 00 00
         02 11 12 13 14 15
         28 23
         04 00
         00*6",
    );
    for (entry, opcode) in [
        (Submission::new(1, FunctionId(0x0102), QueryVirtio {}), "00"),
        (
            Submission::new(1, FunctionId(0x0102), DestroyVirtio {}),
            "02",
        ),
        (
            Submission::new(1, FunctionId(0x0102), QueryVirtioState {}),
            "04",
        ),
        (
            Submission::new(1, FunctionId(0x0102), ReadVirtioConfig {}),
            "07",
        ),
    ] {
        let golden = bytes(&format!("{opcode} 05 01 00 02 01 00*58"));
        assert_eq!(entry.as_bytes(), golden);
    }
    golden(
        ModifyVirtio {
            mask: U16::new(3),
            mac: [0x02, 0x11, 0x12, 0x13, 0x14, 0x15],
        },
        "03 00
         02 11 12 13 14 15",
    );
}

#[test]
fn state_of_a_device() {
    golden(
        VirtioState {
            features: U64::new(0x0000_0003_0042_0020),
            generation: U32::new(0x0403_0201),
            control: U16::new(16),
            pairs: U16::new(3),
            status: 0x4f,
            suspended: 1,
            rsvd: [0; 2],
        },
        "20 00 42 00 03 00 00 00
         01 02 03 04
         10 00
         03 00
         4f
         01
         00 00",
    );
    golden(
        SetVirtioFeatures {
            features: U64::new(0x0000_0003_0000_0020),
        },
        "20 00 00 00 03 00 00 00",
    );
    golden(
        SetVirtioStatus {
            status: 0x0f,
            rsvd: [0; 3],
        },
        "0f 00 00 00",
    );
    golden(
        SuspendVirtio {
            suspend: 1,
            rsvd: [0; 3],
        },
        "01 00 00 00",
    );
    golden(
        ReadVirtioConfigDone {
            generation: U32::new(0x0403_0201),
        },
        "01 02 03 04",
    );
    golden(VirtioConfig { bytes: [0x5a; 32] }, "5a*32");
    golden(
        VirtioChange {
            generation: U32::new(0x0403_0201),
            status: 0x4f,
            rsvd: [0; 3],
        },
        "01 02 03 04
         4f
         00 00 00",
    );
}

#[test]
fn virtqueue() {
    golden(
        EnableVirtqueue {
            descriptors: U64::new(0x0807_0605_0403_0200),
            driver: U64::new(0x1817_1615_1413_1210),
            device: U64::new(0x2827_2625_2423_2220),
            index: U16::new(3),
            size: U16::new(0x0400),
            vector: U16::new(0xffff),
            avail: U16::new(0x8001),
            used: U16::new(0x8000),
            rsvd: [0; 6],
        },
        "00 02 03 04 05 06 07 08
         10 12 13 14 15 16 17 18
         20 22 23 24 25 26 27 28
         03 00
         00 04
         ff ff
         01 80
         00 80
         00*6",
    );
    golden(
        DisableVirtqueue {
            index: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    golden(
        QueryVirtqueue {
            index: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    golden(
        VirtqueueState {
            avail: U16::new(0x8001),
            used: U16::new(0x0203),
            syndrome: U16::new(3),
            ready: 1,
            rsvd: 0,
        },
        "01 80
         03 02
         03 00
         01
         00",
    );
    golden(
        SetVirtqueueVector {
            index: U16::new(0x0102),
            vector: U16::new(0x0304),
        },
        "02 01 04 03",
    );
    golden(
        QueryVirtqueueStats {
            index: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    golden(
        VirtqueueStats {
            received_desc: U64::new(1),
            completed_desc: U64::new(2),
            packets: U64::new(3),
            bytes: U64::new(4),
            errors: U64::new(5),
            dropped: U64::new(6),
            interrupts: U64::new(7),
        },
        "01 00*7
         02 00*7
         03 00*7
         04 00*7
         05 00*7
         06 00*7
         07 00*7",
    );
}

#[test]
fn memory() {
    golden(
        SetVirtioGroup {
            group: U16::new(2),
            space: U16::new(3),
        },
        "02 00 03 00",
    );
    golden(
        MapVirtio {
            space: U16::new(3),
            count: U16::new(0x0080),
            stage: 1,
            rsvd: [0; 3],
        },
        "03 00
         80 00
         01
         00 00 00",
    );
    let mapping = VirtioMapping {
        iova: U64::new(0x0807_0605_0403_0000),
        length: U64::new(0x1817_1615_1413_1000),
        addr: U64::new(0x2827_2625_2423_2000),
        access: U32::new(3),
        rsvd: [0; 4],
    };
    let text = "00 00 03 04 05 06 07 08
                00 10 13 14 15 16 17 18
                00 20 23 24 25 26 27 28
                03 00 00 00
                00*4";
    golden(mapping, text);
    golden(
        VirtioMappings {
            entries: [mapping; 128],
        },
        &[text; 128].join(" "),
    );
    golden(
        UnmapVirtio {
            iova: U64::new(0x0807_0605_0403_0000),
            length: U64::new(0x1817_1615_1413_1000),
            space: U16::new(3),
            rsvd: [0; 6],
        },
        "00 00 03 04 05 06 07 08
         00 10 13 14 15 16 17 18
         03 00
         00*6",
    );
    golden(
        SwitchVirtioMap {
            space: U16::new(3),
            map: U16::new(2),
        },
        "03 00 02 00",
    );
}

#[test]
fn notification() {
    assert_eq!(Doorbell::Virtio(3).offset(), 0x80c);
    assert_eq!(Doorbell::decode(0x80c), Some(Doorbell::Virtio(3)));
    assert_eq!(DOORBELL_NOTIFY, 0);
}
