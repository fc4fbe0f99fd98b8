// SPDX-License-Identifier: GPL-2.0

//! Golden bytes: every struct of the wire against bytes that were written by hand from
//! `Documentation/hw`, in both directions.
//!
//! Driver and device are compiled from the same crate, so that they share its mistakes; these
//! bytes do not. Never print them from the code: read the guide and count.

mod hex;

use ferrite_abi::admin::*;
use ferrite_abi::cmd::*;
use ferrite_abi::desc::*;
use ferrite_abi::event::*;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::*;
use hex::{
    bytes,
    golden, //
};
use zerocopy::FromZeros;

#[test]
fn submission() {
    golden(
        Submission {
            opcode: U16::new(0x0102),
            tag: U16::new(0xbeef),
            function: U16::new(0x0107),
            rsvd: [0; 2],
            data_addr: U64::new(0x0011_2233_4455_6677),
            data_len: U32::new(0x0000_1000),
            rsvd2: [0; 4],
            params: [0xa5; 40],
        },
        "02 01
         ef be
         07 01
         00*2
         77 66 55 44 33 22 11 00
         00 10 00 00
         00*4
         a5*40",
    );
}

#[test]
fn submission_of_a_command_pads_its_parameters() {
    let command = DestroyQueue {
        kind: U16::new(1),
        index: U16::new(0x0203),
    };
    let entry = Submission::new(0x1234, FunctionId(0x0100), command);
    assert_eq!(
        entry.as_bytes(),
        bytes(
            "01 01
             34 12
             00 01
             00*2
             00*8
             00*4
             00*4
             01 00 03 02
             00*36"
        )
    );
    let read = entry
        .command::<DestroyQueue>()
        .expect("reserved bytes are zero");
    assert_eq!((read.kind.get(), read.index.get()), (1, 0x0203));
}

#[test]
fn submission_with_reserved_bytes_is_no_command() {
    // The byte at each offset is reserved for a command with four bytes of parameters.
    for offset in [6, 7, 20, 23, 28, 63] {
        let mut raw = bytes("01 01 00*62");
        assert!(Submission::read_from_bytes(&raw)
            .unwrap()
            .command::<DestroyQueue>()
            .is_some());
        raw[offset] = 1;
        assert!(Submission::read_from_bytes(&raw)
            .unwrap()
            .command::<DestroyQueue>()
            .is_none());
    }
}

#[test]
fn completion() {
    golden(
        Completion {
            tag: U16::new(0xbeef),
            opcode: U16::new(0x0206),
            status: U16::new(7),
            sq_head: U16::new(0xfffe),
            result: [0x5a; 20],
            meta: U32::new(1),
        },
        "ef be
         06 02
         07 00
         fe ff
         5a*20
         01 00 00 00",
    );
}

#[test]
fn completion_carries_result_and_phase() {
    let submission = Submission::new(0x0042, FunctionId::PF, Echo { value: U64::new(0) });
    let depth = Depth::from_log2(4).unwrap();
    // Index 15 is in the first pass over sixteen entries, index 16 in the second.
    for (index, phase) in [(15, "01"), (16, "00"), (32, "01")] {
        let completion = Completion::new(&submission, Status::OK, depth, Index(index))
            .with_done::<Echo>(EchoDone {
                value: U64::new(0x0102_0304_0506_0708),
            });
        assert_eq!(
            completion.as_bytes(),
            bytes(&format!(
                "42 00
                 00 00
                 00 00
                 00 00
                 08 07 06 05 04 03 02 01 00*12
                 {phase} 00 00 00"
            ))
        );
        assert!(completion.is_new(depth, Index(index)));
        assert!(!completion.is_new(depth, Index(index + 16)));
        assert_eq!(completion.done::<Echo>().value.get(), 0x0102_0304_0506_0708);
    }
}

#[test]
fn echo() {
    golden(
        Echo {
            value: U64::new(0x8877_6655_4433_2211),
        },
        "11 22 33 44 55 66 77 88",
    );
    golden(
        EchoDone {
            value: U64::new(0x8877_6655_4433_2211),
        },
        "11 22 33 44 55 66 77 88",
    );
}

#[test]
fn identity() {
    let mut identity = Identity::new_zeroed();
    identity.serial[..5].copy_from_slice(b"FE123");
    identity.asic[..7].copy_from_slice(b"Ferrite");
    identity.fw_running[..5].copy_from_slice(b"1.2.3");
    identity.fw_stored[..5].copy_from_slice(b"1.2.4");
    identity.asic_revision = U16::new(0x0001);
    identity.max_vfs = U16::new(0x0010);
    identity.max_sfs = U16::new(0x0200);
    identity.firmware_slots = U16::new(0x0002);
    identity.total_vf_vectors = U32::new(0x0001_0280);
    identity.max_vf_vectors = U16::new(0x0100);
    // RFC 4122 network order: the text 00112233-4455-6677-8899-aabbccddeeff from left to right.
    identity.uuid = [
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
        0xff,
    ];
    golden(
        identity,
        "46 45 31 32 33 00*27
         46 65 72 72 69 74 65 00*9
         31 2e 32 2e 33 00*27
         31 2e 32 2e 34 00*27
         01 00
         10 00
         00 02
         02 00
         00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff
         80 02 01 00
         00 01
         00*114",
    );
}

#[test]
fn query_function() {
    golden(
        QueryFunctionDone {
            mac: [0x02, 0xfe, 0x00, 0x11, 0x22, 0x33],
            mtu: U16::new(1500),
            max_mtu: U16::new(9600),
            max_queues: U16::new(8),
            state: U16::new(3),
            doorbell_page: U16::new(0x0201),
            rss_table: U16::new(256),
            max_depth_log2: 13,
            rsvd: 0,
        },
        "02 fe 00 11 22 33
         dc 05
         80 25
         08 00
         03 00
         01 02
         00 01
         0d
         00",
    );
}

#[test]
fn create_event_queue() {
    golden(
        CreateEventQueue {
            ring_addr: U64::new(0x0000_0001_2345_67c0),
            vector: U16::new(0x0102),
            depth_log2: 6,
            rsvd: [0; 5],
        },
        "c0 67 45 23 01 00 00 00
         02 01
         06
         00*5",
    );
}

#[test]
fn create_queue() {
    golden(
        CreateQueue {
            ring_addr: U64::new(0x0000_000a_0000_0040),
            cq_addr: U64::new(0x0000_000b_0000_0080),
            state_addr: U64::new(0x0000_000c_0000_00c0),
            kind: U16::new(1),
            index: U16::new(0x003f),
            vector: U16::new(0x0708),
            moderation_usecs: U16::new(0x0032),
            depth_log2: 10,
            flags: 0x03,
            moderation_packets: U16::new(0x0140),
            coalesce_usecs: U16::new(0x00c8),
            split_above: U16::new(0x0403),
        },
        "40 00 00 00 0a 00 00 00
         80 00 00 00 0b 00 00 00
         c0 00 00 00 0c 00 00 00
         01 00
         3f 00
         08 07
         32 00
         0a
         03
         40 01
         c8 00
         03 04",
    );
}

#[test]
fn destroy_and_query_queue() {
    golden(
        DestroyQueue {
            kind: U16::new(1),
            index: U16::new(0x1234),
        },
        "01 00 34 12",
    );
    golden(
        QueryQueue {
            kind: U16::new(0),
            index: U16::new(0x1234),
        },
        "00 00 34 12",
    );
    golden(
        QueryQueueDone {
            head: U32::new(0xffff_fffe),
            cq_tail: U32::new(0x0001_0000),
            syndrome: U16::new(3),
            rsvd: [0; 2],
        },
        "fe ff ff ff
         00 00 01 00
         03 00
         00 00",
    );
}

#[test]
fn query_link() {
    golden(
        QueryLinkDone {
            speed: U32::new(25_000),
            up: 1,
            rsvd: [0; 3],
        },
        "a8 61 00 00
         01
         00*3",
    );
}

#[test]
fn port_settings() {
    golden(
        EnablePort {
            enable: 1,
            rsvd: [0; 3],
        },
        "01 00 00 00",
    );
    golden(
        SetMac {
            mac: [0x02, 0x00, 0x5e, 0x10, 0x20, 0x30],
            rsvd: [0; 2],
        },
        "02 00 5e 10 20 30 00 00",
    );
    golden(
        SetMtu {
            mtu: U16::new(9000),
            rsvd: [0; 2],
        },
        "28 23 00 00",
    );
    golden(
        SetRxMode {
            mode: U16::new(3),
            count: U16::new(128),
        },
        "03 00 80 00",
    );
    golden(
        SetRss {
            hash: U16::new(0x0010),
            entries: U16::new(256),
            context: U16::new(0x0020),
            transform: U16::new(2),
            fields: [0x0f, 0x03, 0x1f, 0x13, 0x01, 0x02],
            rsvd: [0; 2],
        },
        "10 00 00 01
         20 00
         02 00
         0f 03 1f 13 01 02
         00*2",
    );
    golden(
        RemoveRss {
            context: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00*2",
    );
    golden(
        SetFilter {
            location: U16::new(0x00ff),
            action: U16::new(2),
            queue: U16::new(0x003f),
            context: U16::new(0x0010),
        },
        "ff 00
         02 00
         3f 00
         10 00",
    );
    golden(
        RemoveFilter {
            location: U16::new(0x01fe),
            rsvd: [0; 2],
        },
        "fe 01 00*2",
    );
    golden(
        QuerySteeringDone {
            max_contexts: U16::new(32),
            max_filters: U16::new(256),
            contexts: U16::new(3),
            filters: U16::new(0x0201),
        },
        "20 00
         00 01
         03 00
         01 02",
    );
}

#[test]
fn rx_filter() {
    let mut filter = RxFilter {
        addresses: [[0; 6]; 128],
    };
    filter.addresses[0] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x01];
    filter.addresses[127] = [0x01, 0x00, 0x5e, 0x7f, 0xff, 0xfa];
    golden(
        filter,
        "33 33 00 00 00 01
         00*756
         01 00 5e 7f ff fa",
    );
}

#[test]
fn rss_table() {
    let mut table = RssTable {
        key: [0; 40],
        queues: [U16::new(0); 256],
    };
    table.key[0] = 0x6d;
    table.key[39] = 0xfa;
    table.queues[0] = U16::new(0x0001);
    table.queues[255] = U16::new(0x003f);
    golden(
        table,
        "6d 00*38 fa
         01 00
         00*508
         3f 00",
    );
}

#[test]
fn filter() {
    let mut filter = Filter::default();
    filter.key.eth_type = U16::new(0x86dd);
    filter.key.src_ip[15] = 0x01;
    filter.key.dst_port = U16::new(0x1f90);
    filter.mask.eth_type = U16::new(0xffff);
    filter.mask.src_ip = [0xff; 16];
    filter.mask.dst_port = U16::new(0xfff0);
    golden(
        filter,
        "00*12 dd 86 00*10
         00*15 01
         00*16
         00*2 90 1f 00*4
         00*12 ff*2 00*10
         ff*16
         00*16
         00*2 f0 ff 00*4",
    );
}

#[test]
fn port_stats() {
    // One counter after the other holds 1, 2, ... 18.
    let mut stats = PortStats::new_zeroed();
    for (number, counter) in [
        &mut stats.tx_packets,
        &mut stats.tx_bytes,
        &mut stats.tx_multicast,
        &mut stats.tx_broadcast,
        &mut stats.tx_bad_descriptor,
        &mut stats.tx_dma_fault,
        &mut stats.tx_not_permitted,
        &mut stats.tx_dropped,
        &mut stats.rx_packets,
        &mut stats.rx_bytes,
        &mut stats.rx_multicast,
        &mut stats.rx_broadcast,
        &mut stats.rx_no_buffer,
        &mut stats.rx_too_long,
        &mut stats.rx_dma_fault,
        &mut stats.rx_closed,
        &mut stats.rx_bad_checksum,
        &mut stats.rx_filtered,
    ]
    .into_iter()
    .enumerate()
    {
        *counter = U64::new(1 + number as u64);
    }
    golden(
        stats,
        "01 00*7  02 00*7  03 00*7  04 00*7
         05 00*7  06 00*7  07 00*7  08 00*7
         09 00*7  0a 00*7  0b 00*7  0c 00*7
         0d 00*7  0e 00*7  0f 00*7  10 00*7
         11 00*7  12 00*7",
    );
    assert_eq!(
        stats.values().collect::<Vec<_>>(),
        (1..=18).collect::<Vec<_>>()
    );
}

#[test]
fn frame_counters() {
    // One counter after the other holds 1, 2, ... 24.
    let direction = |first: u64| FrameCounters {
        frames: U64::new(first),
        octets: U64::new(first + 1),
        multicast: U64::new(first + 2),
        broadcast: U64::new(first + 3),
        control: U64::new(first + 4),
        classes: std::array::from_fn(|class| U64::new(first + 5 + class as u64)),
    };
    golden(
        FrameStats {
            tx: direction(1),
            rx: direction(13),
        },
        "01 00*7  02 00*7  03 00*7  04 00*7  05 00*7
         06 00*7  07 00*7  08 00*7  09 00*7  0a 00*7  0b 00*7  0c 00*7
         0d 00*7  0e 00*7  0f 00*7  10 00*7  11 00*7
         12 00*7  13 00*7  14 00*7  15 00*7  16 00*7  17 00*7  18 00*7",
    );
}

#[test]
fn classes_of_frames_end_where_the_guide_says() {
    for (length, class) in [
        (64, 0),
        (65, 1),
        (127, 1),
        (128, 2),
        (255, 2),
        (256, 3),
        (511, 3),
        (512, 4),
        (1023, 4),
        (1024, 5),
        (1518, 5),
        (1519, 6),
        (9622, 6),
    ] {
        assert_eq!(frame_class(length), class, "{length}");
    }
}

#[test]
fn set_loopback() {
    golden(
        SetLoopback {
            enable: 1,
            rsvd: [0; 3],
        },
        "01 00*3",
    );
}

#[test]
fn inject_fault() {
    golden(
        InjectFault {
            kind: U16::new(14),
            opcode: U16::new(0xffff),
            skip: U32::new(2),
            count: U32::new(0x0000_0100),
            param: U32::new(0xdead_beef),
            chance: U32::new(10),
            seed: U32::new(0x1234_5678),
        },
        "0e 00
         ff ff
         02 00 00 00
         00 01 00 00
         ef be ad de
         0a 00 00 00
         78 56 34 12",
    );
}

#[test]
fn one_queue_of_a_function_is_named() {
    let queue = one_queue(FunctionId(0x0103), QueueKind::RX, 5);
    assert_eq!(queue, 0x8105_0103);
}

#[test]
fn event() {
    let depth = Depth::from_log2(5).unwrap();
    let payload = LinkChange {
        speed: U32::new(100_000),
        up: 1,
        rsvd: [0; 3],
    };
    // Index 0 has phase 1; number 5 stands one bit up: 5 * 2 + 1 = 0x0b.
    let event = Event::new(FunctionId(0x0041), payload, depth, Index(0), 5);
    golden(
        event,
        "01 00
         41 00
         a0 86 01 00 01 00 00 00 00*16
         0b 00 00 00",
    );
    assert_eq!(event.sequence(), 5);
    assert!(event.is_new(depth, Index(0)));
    assert!(event.payload::<QueueError>().is_none());
    // In the second pass the phase is 0; the count wraps at 2^31.
    let event = Event::new(FunctionId::PF, payload, depth, Index(32), 0x7fff_ffff);
    assert_eq!(event.as_bytes()[28..], bytes("fe ff ff ff"));
    assert!(event.is_new(depth, Index(32)));
}

#[test]
fn event_payloads() {
    golden(
        LinkChange {
            speed: U32::new(100_000),
            up: 1,
            rsvd: [0; 3],
        },
        "a0 86 01 00 01 00*3",
    );
    golden(
        FunctionChange {
            state: U16::new(3),
            rsvd: [0; 2],
        },
        "03 00 00 00",
    );
    golden(
        QueueError {
            kind: U16::new(1),
            index: U16::new(7),
            syndrome: U16::new(2),
            rsvd: [0; 2],
        },
        "01 00 07 00 02 00 00 00",
    );
    golden(
        HealthChange {
            syndrome: U32::new(3),
        },
        "03 00 00 00",
    );
}

#[test]
fn queue_state() {
    golden(
        QueueState {
            tail: U32::new(0x0403_0201),
            arm: U32::new(0x0807_0605),
            rsvd_driver: [0; 56],
            cq_tail: U32::new(0x1413_1211),
            doorbell_event: U32::new(0x1817_1615),
            rsvd_device: [0; 56],
        },
        "01 02 03 04
         05 06 07 08
         00*56
         11 12 13 14
         15 16 17 18
         00*56",
    );
}

#[test]
fn tx_descriptor() {
    golden(
        TxDesc {
            addr: U64::new(0x0102_0304_0506_0708),
            len: U32::new(0x0001_0100),
            flags: U16::new(0x0003),
            vlan: U16::new(0x2064),
            csum_start: U16::new(34),
            csum_offset: U16::new(16),
            mss: U16::new(1448),
            header_len: U16::new(66),
            rsvd: [0; 8],
        },
        "08 07 06 05 04 03 02 01
         00 01 01 00
         03 00
         64 20
         22 00
         10 00
         a8 05
         42 00
         00*8",
    );
}

#[test]
fn tx_completion() {
    golden(
        TxCompletion {
            index: U32::new(0xffff_ffff),
            status: U16::new(2),
            flags: U16::new(1),
            timestamp: U64::new(0x0000_0001_0000_0002),
        },
        "ff ff ff ff
         02 00
         01 00
         02 00 00 00 01 00 00 00",
    );
}

#[test]
fn modify_queue() {
    golden(
        ModifyQueue {
            kind: U16::new(1),
            index: U16::new(0x0203),
            moderation_usecs: U16::new(0x0405),
            moderation_packets: U16::new(0x0607),
            coalesce_usecs: U16::new(0x0809),
            flags: 0x02,
            rsvd: [0; 5],
        },
        "01 00
         03 02
         05 04
         07 06
         09 08
         02
         00*5",
    );
}

#[test]
fn query_clock() {
    golden(
        QueryClockDone {
            time: U64::new(0x0102_0304_0506_0708),
        },
        "08 07 06 05 04 03 02 01",
    );
}

#[test]
fn copy_memory() {
    golden(
        CopyMemory {
            source: U64::new(0x0102_0304_0506_0708),
            destination: U64::new(0x1112_1314_1516_1718),
            length: U32::new(0x2122_2324),
            rsvd: [0; 4],
        },
        "08 07 06 05 04 03 02 01
         18 17 16 15 14 13 12 11
         24 23 22 21
         00*4",
    );
}

#[test]
fn rx_descriptor() {
    golden(
        RxDesc {
            addr: U64::new(0xffff_ffff_ffff_f000),
            len: U32::new(0x0000_0800),
            cookie: U32::new(0x1234_5678),
        },
        "00 f0 ff ff ff ff ff ff
         00 08 00 00
         78 56 34 12",
    );
}

#[test]
fn rx_completion() {
    golden(
        RxCompletion {
            cookie: U32::new(0x1234_5678),
            len: U32::new(1514),
            hash: U32::new(0x51cc_c178),
            flags: U16::new(0x000f),
            vlan: U16::new(0x0064),
            mss: U16::new(1448),
            segments: U16::new(12),
            l4_offset: U16::new(54),
            header_len: U16::new(66),
            timestamp: U64::new(0x0000_0000_3b9a_ca00),
        },
        "78 56 34 12
         ea 05 00 00
         78 c1 cc 51
         0f 00
         64 00
         a8 05
         0c 00
         36 00
         42 00
         00 ca 9a 3b 00 00 00 00",
    );
}
