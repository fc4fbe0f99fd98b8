// SPDX-License-Identifier: GPL-2.0

//! Golden bytes of migration: commands, and the stream in which a VF moves; see `golden.rs`.

mod hex;

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::*;
use ferrite_abi::event::{
    Event,
    SaveChange, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::*;
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::*;
use hex::{
    bytes,
    golden, //
};

#[test]
fn levels() {
    assert_eq!(
        Submission::new(
            0x0003,
            FunctionId(0x0002),
            SuspendFunction {
                level: U16::new(2),
                rsvd: [0; 2],
            }
        )
        .as_bytes(),
        bytes("01 06 03 00 02 00 00*18 02 00 00*38")
    );
    golden(
        ResumeFunction {
            level: U16::new(1),
            rsvd: [0; 2],
        },
        "01 00 00 00",
    );
    golden(
        MigrationInfo {
            uuid: *b"0123456789abcdef",
            stream_version: U16::new(0x0102),
            oldest_version: U16::new(0x0304),
            caps: U16::new(7),
            level: U16::new(1),
            activity: U16::new(4),
            max_ranges: U16::new(0x0100),
            min_page_shift: 12,
            max_page_shift: 30,
            rsvd: [0; 2],
            max_runs: U32::new(0x0807_0605),
            state_size: U32::new(0x0c0b_0a09),
            rsvd2: [0; 24],
        },
        "30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66
         02 01 04 03 07 00 01 00
         04 00 00 01 0c 1e 00 00
         05 06 07 08 09 0a 0b 0c
         00*24",
    );
}

#[test]
fn something_to_save() {
    let depth = Depth::from_log2(5).unwrap();
    assert_eq!(
        Event::new(FunctionId(0x0002), SaveChange {}, depth, Index(0), 3).as_bytes(),
        bytes("06 00 02 00 00*24 07 00 00 00")
    );
}

#[test]
fn saving() {
    golden(
        BeginSave {
            pass: U16::new(2),
            version: U16::new(1),
        },
        "02 00 01 00",
    );
    golden(
        BeginSaveDone {
            length: U32::new(0x0403_0201),
        },
        "01 02 03 04",
    );
    golden(
        ReadSave {
            offset: U32::new(0x0403_0201),
            length: U32::new(0x1000),
        },
        "01 02 03 04 00 10 00 00",
    );
    golden(
        QuerySaveDone {
            unread: U32::new(0x01),
            dirty: U32::new(0x0200),
            remaining: U32::new(0x03_0000),
            full: U32::new(0x0400_0000),
            flags: U16::new(3),
            rsvd: [0; 2],
        },
        "01 00 00 00
         00 02 00 00
         00 00 03 00
         00 00 00 04
         03 00 00 00",
    );
}

#[test]
fn loading() {
    golden(
        WriteLoad {
            offset: U64::new(0x0807_0605_0403_0201),
            length: U32::new(0x0c0b_0a09),
            rsvd: [0; 4],
        },
        "01 02 03 04 05 06 07 08
         09 0a 0b 0c 00 00 00 00",
    );
    golden(
        LoadVerdict {
            fault: U16::new(3),
            tag: U16::new(0x8011),
            record: U32::new(0x0807_0605),
            taken: U64::new(0x100f_0e0d_0c0b_0a09),
        },
        "03 00 11 80 05 06 07 08
         09 0a 0b 0c 0d 0e 0f 10",
    );
    golden(
        EndLoad {
            commit: 1,
            rsvd: [0; 3],
        },
        "01 00 00 00",
    );
}

#[test]
fn dirty_log() {
    golden(
        StartDirtyLog {
            count: U16::new(0x0100),
            page_shift: 21,
            rsvd: 0,
            max_runs: U32::new(0x0403_0201),
        },
        "00 01 15 00 01 02 03 04",
    );
    golden(
        LogRange {
            iova: U64::new(0x0807_0605_0403_0201),
            length: U64::new(0x100f_0e0d_0c0b_0a09),
        },
        "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10",
    );
    golden(
        ReadDirtyLog {
            iova: U64::new(0x0807_0605_0403_0201),
            length: U64::new(0x100f_0e0d_0c0b_0a09),
            number: U32::new(0x1413_1211),
            rsvd: [0; 4],
        },
        "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 00 00 00 00",
    );
    golden(
        DirtyRun {
            iova: U64::new(0x1000),
            length: U64::new(0x0020_0000),
        },
        "00 10 00 00 00 00 00 00 00 00 20 00 00 00 00 00",
    );
    golden(
        ReadDirtyLogDone {
            runs: U16::new(0x0100),
            flags: U16::new(1),
            number: U32::new(0x1413_1211),
        },
        "00 01 01 00 11 12 13 14",
    );
}

#[test]
fn checksum_is_that_of_castagnoli() {
    // The check value of the algorithm's catalogue entry, and RFC 3720, B.4.
    assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(0, &[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(0, &[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xe306_9283);
}

#[test]
fn record_of_a_stream() {
    let payload = bytes("05 00 00 00 00*4");
    let header = RecordHeader::new(StreamTag::END, 0, 5, &payload);
    let mut written = bytes("12 00 00 00 08 00 00 00 05 00 00 00 00*4");
    let sum = crc32c(crc32c(0, &written), &payload);
    written[12..].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(header.as_bytes(), written);
    let stream = [written, payload].concat();
    let (record, rest) = Record::split(&stream).unwrap().unwrap();
    assert_eq!((record.payload, rest), (&stream[16..], &[][..]));
    assert!(Record::split(&stream[..23]).unwrap().is_none());
    for at in [0, 2, 8, 12, 16, 23] {
        let mut bad = stream.clone();
        bad[at] ^= 1;
        assert_eq!(
            Record::split(&bad).err(),
            Some(StreamFault::CHECKSUM),
            "{at}"
        );
    }
    let mut bad = stream.clone();
    bad[6] = 0xff;
    assert_eq!(Record::split(&bad).err(), Some(StreamFault::LENGTH));
}

#[test]
fn header_of_a_stream() {
    golden(
        StreamHeader {
            magic: STREAM_MAGIC,
            version: U16::new(2),
            oldest_reader: U16::new(1),
            abi_version: U32::new(0x0001_0001),
            features: U64::new(0x0807_0605_0403_0201),
            max_queues: U16::new(8),
            vectors: U16::new(16),
            rss_table: U16::new(256),
            max_mtu: U16::new(9600),
            max_contexts: U16::new(32),
            max_filters: U16::new(256),
            max_depth_log2: 13,
            rsvd: [0; 3],
        },
        "46 45 52 52 49 4d 49 47
         02 00 01 00 01 00 01 00
         01 02 03 04 05 06 07 08
         08 00 10 00 00 01 80 25
         20 00 00 01 0d 00 00 00",
    );
}

#[test]
fn setup_of_a_function_in_a_stream() {
    golden(
        IdentityRecord {
            mac: [0x02, 0x00, 0x00, 0x00, 0x88, 0x89],
            vlan: U16::new(0x0ffe),
            caps: U16::new(0x0009),
            max_eqs: U16::new(8),
            function: U16::new(0x0003),
            rsvd: [0; 2],
            rate: Rate {
                tx_max: U64::new(0x0807_0605_0403_0201),
                ..Rate::default()
            },
            uuid: *b"0123456789abcdef",
        },
        "02 00 00 00 88 89 fe 0f 09 00 08 00 03 00 00 00
         01 02 03 04 05 06 07 08 00*48
         30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66",
    );
    golden(
        PortRecord {
            mac: [0x02, 0x00, 0x00, 0x00, 0x88, 0x89],
            mtu: U16::new(1500),
            mode: U16::new(2),
            open: 1,
            loops: 1,
        },
        "02 00 00 00 88 89 dc 05 02 00 01 01",
    );
    golden(
        RssRecord {
            transform: U16::new(2),
            fields: [1, 2, 3, 4, 5, 6],
            key: [0x5a; RSS_KEY],
        },
        "02 00 01 02 03 04 05 06 5a*40",
    );
    let mut filter = FilterRecord::read_from_bytes(&[0; 136]).unwrap();
    filter.action = U16::new(0x0102);
    filter.queue = U16::new(0x0304);
    filter.context = U16::new(0x0506);
    filter.key.dst_mac = [1; 6];
    filter.mask.dst_mac = [0xff; 6];
    golden(filter, "02 01 04 03 06 05 00 00 01*6 00*58 ff*6 00*58");
}

#[test]
fn state_of_a_function_in_a_stream() {
    golden(
        RegisterRecord {
            sq_addr: U64::new(0x0807_0605_0403_0201),
            cq_addr: U64::new(0x100f_0e0d_0c0b_0a09),
            size: U32::new(6),
            vector: U32::new(0x8000_0001),
            control: U32::new(1),
            scratch: U32::new(0x1413_1211),
            syndrome: U32::new(2),
            reset_ns: U32::new(0x1817_1615),
            error: 2,
            rsvd: [0; 7],
        },
        "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10
         06 00 00 00 01 00 00 80 01 00 00 00 11 12 13 14
         02 00 00 00 15 16 17 18 02 00*7",
    );
    golden(
        AdminRecord {
            sq_head: U32::new(1),
            sq_tail: U32::new(0x0200),
            cq_head: U32::new(0x03_0000),
            cq_tail: U32::new(0x0400_0000),
            depth_log2: 6,
            rsvd: [0; 7],
        },
        "01 00 00 00 00 02 00 00 00 00 03 00 00 00 00 04 06 00*7",
    );
    golden(
        EventQueueRecord {
            ring_addr: U64::new(0x0807_0605_0403_0201),
            vector: U16::new(0x0102),
            depth_log2: 6,
            rsvd: 0,
            head: U32::new(1),
            tail: U32::new(0x0200),
            sequence: U32::new(0x03_0000),
        },
        "01 02 03 04 05 06 07 08 02 01 06 00 01 00 00 00 00 02 00 00 00 00 03 00",
    );
    golden(
        QueueRecord {
            head: U32::new(1),
            cq_tail: U32::new(0x0200),
            signalled: U32::new(0x03_0000),
            skipped: U32::new(0x0400_0000),
            since_interrupt: U64::new(0x0807_0605_0403_0201),
            syndrome: U16::new(2),
            marks: 1,
            rsvd: [0; 5],
        },
        "01 00 00 00 00 02 00 00 00 00 03 00 00 00 00 04
         01 02 03 04 05 06 07 08 02 00 01 00*5",
    );
    golden(
        StreamEnd {
            records: U32::new(0x0403_0201),
            rsvd: [0; 4],
        },
        "01 02 03 04 00*4",
    );
}
