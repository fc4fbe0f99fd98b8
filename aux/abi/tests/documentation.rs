// SPDX-License-Identifier: GPL-2.0

//! Holds the tables of `Documentation/hw` against the code, in both directions: what the code
//! defines must be there, word for word where there is a word for it, and what is there must be
//! defined.
//!
//! The lists below name what the code defines. That nothing is missing from them is checked
//! against the source text, so that a new register, command, code, struct or constant fails here
//! until it is documented.

mod guide;

use ferrite_abi::admin::{
    CommandInfo,
    DataDirection, //
};
use ferrite_abi::event::Payload;
use ferrite_abi::regs::{
    Access,
    REGISTERS, //
};
use ferrite_abi::*;
use guide::{
    Guide,
    Table, //
};
use std::collections::{
    BTreeMap,
    BTreeSet, //
};
use zerocopy::FromZeros;

/// Field of a wire struct: name, offset, size.
type Field = (&'static str, usize, usize);

macro_rules! structs {
    ($($($path:ident)::+ { $($field:ident),* })*) => {
        /// Every wire struct, with its size and fields.
        fn structs() -> Vec<(&'static str, usize, Vec<Field>)> {
            vec![$({
                type S = $($path)::+;
                #[allow(unused_variables, reason = "structs without fields")]
                let zero = S::new_zeroed();
                let fields: Vec<Field> = vec![$((
                    stringify!($field),
                    std::mem::offset_of!(S, $field),
                    size_of_val(&zero.$field),
                )),*];
                (last(stringify!($($path)::+)), size_of::<S>(), fields)
            }),*]
        }
    };
}

structs! {
    admin::Submission { opcode, tag, function, rsvd, data_addr, data_len, rsvd2, params }
    admin::Completion { tag, opcode, status, sq_head, result, meta }
    cmd::Echo { value }
    cmd::EchoDone { value }
    cmd::Identify {}
    cmd::Identity {
        serial, asic, fw_running, fw_stored, asic_revision, max_vfs, max_sfs, firmware_slots, uuid,
        total_vf_vectors, max_vf_vectors, rsvd
    }
    cmd::QueryFunction {}
    cmd::QueryFunctionDone {
        mac, mtu, max_mtu, max_queues, state, doorbell_page, rss_table, max_depth_log2, rsvd
    }
    cmd::CreateEventQueue { ring_addr, vector, depth_log2, rsvd }
    cmd::DestroyEventQueue {}
    cmd::QueryClock {}
    cmd::QueryClockDone { time }
    cmd::CopyMemory { source, destination, length, rsvd }
    cmd::CreateQueue {
        ring_addr, cq_addr, state_addr, kind, index, vector, moderation_usecs, depth_log2, flags,
        moderation_packets, coalesce_usecs, split_above
    }
    cmd::DestroyQueue { kind, index }
    cmd::ModifyQueue {
        kind, index, moderation_usecs, moderation_packets, coalesce_usecs, flags, rsvd
    }
    cmd::QueryQueue { kind, index }
    cmd::QueryQueueDone { head, cq_tail, syndrome, rsvd }
    cmd::QueryLink {}
    cmd::QueryLinkDone { speed, up, rsvd }
    cmd::EnablePort { enable, rsvd }
    cmd::SetLoopback { enable, rsvd }
    cmd::SetMac { mac, rsvd }
    cmd::SetMtu { mtu, rsvd }
    cmd::SetRxMode { mode, count }
    cmd::RxFilter { addresses }
    cmd::QueryStats {}
    cmd::PortStats {
        tx_packets, tx_bytes, tx_multicast, tx_broadcast, tx_bad_descriptor, tx_dma_fault,
        tx_not_permitted, tx_dropped, rx_packets, rx_bytes, rx_multicast, rx_broadcast,
        rx_no_buffer, rx_too_long, rx_dma_fault, rx_closed, rx_bad_checksum, rx_filtered
    }
    cmd::QueryFrames {}
    cmd::FrameStats { tx, rx }
    cmd::FrameCounters { frames, octets, multicast, broadcast, control, classes }
    cmd::SetRss { hash, entries, context, transform, fields, rsvd }
    cmd::RssTable { key, queues }
    cmd::RemoveRss { context, rsvd }
    cmd::SetFilter { location, action, queue, context }
    cmd::Filter { key, mask }
    cmd::RemoveFilter { location, rsvd }
    cmd::QuerySteering {}
    cmd::QuerySteeringDone { max_contexts, max_filters, contexts, filters }
    cmd::CreateSf { sfnum }
    cmd::CreateSfDone { function, rsvd }
    cmd::DestroySf {}
    cmd::ConfigureFunction { mask, mac, caps, max_eqs, vectors, vlan }
    cmd::QueryFunctionConfig {}
    cmd::FunctionConfig { mac, caps, max_eqs, vectors, vlan, state, sfnum }
    cmd::SetFunctionState { state, rsvd }
    cmd::AttachFunction { attach, rsvd }
    cmd::SetVfPolicy { state, rsvd }
    cmd::SetEswitchMode { mode, rsvd }
    cmd::QueryEswitch {}
    cmd::QueryEswitchDone { mode, max_rate_nodes, rules, max_rules }
    cmd::AddRule {}
    cmd::AddRuleDone { rule }
    cmd::Rule { priority, in_port, rsvd, actions, key, mask }
    cmd::RuleAction { kind, argument }
    cmd::RuleKey {
        dst_mac, src_mac, eth_type, vlan_tci, tagged, ip_proto, tos, ttl, fragment, rsvd, src_ip,
        dst_ip, src_port, dst_port, tcp_flags, rsvd2
    }
    cmd::RemoveRule { rule }
    cmd::QueryRule { rule }
    cmd::QueryRuleDone { packets, bytes, idle_ms }
    cmd::CreateRateNode {}
    cmd::CreateRateNodeDone { node, rsvd }
    cmd::DestroyRateNode { node, rsvd }
    cmd::SetRate { node, parent }
    cmd::QueryRate { node, rsvd }
    cmd::QueryRateDone { parent, rsvd }
    cmd::Rate { tx_max, tx_share, priority, weight, tc_bw }
    cmd::QueryVirtio {}
    cmd::QueryVirtioDone {
        features, max_pairs, max_size, max_mappings, address_spaces, config_size
    }
    cmd::CreateVirtio { features, mac, mtu, pairs, rsvd }
    cmd::DestroyVirtio {}
    cmd::ModifyVirtio { mask, mac }
    cmd::QueryVirtioState {}
    cmd::VirtioState { features, generation, control, pairs, status, suspended, rsvd }
    cmd::SetVirtioFeatures { features }
    cmd::SetVirtioStatus { status, rsvd }
    cmd::ReadVirtioConfig {}
    cmd::ReadVirtioConfigDone { generation }
    cmd::VirtioConfig { bytes }
    cmd::EnableVirtqueue {
        descriptors, driver, device, index, size, vector, avail, used, rsvd
    }
    cmd::DisableVirtqueue { index, rsvd }
    cmd::QueryVirtqueue { index, rsvd }
    cmd::VirtqueueState { avail, used, syndrome, ready, rsvd }
    cmd::SetVirtqueueVector { index, vector }
    cmd::QueryVirtqueueStats { index, rsvd }
    cmd::VirtqueueStats {
        received_desc, completed_desc, packets, bytes, errors, dropped, interrupts
    }
    cmd::SetVirtioGroup { group, space }
    cmd::VirtioMapping { iova, length, addr, access, rsvd }
    cmd::VirtioMappings { entries }
    cmd::MapVirtio { space, count, stage, rsvd }
    cmd::UnmapVirtio { iova, length, space, rsvd }
    cmd::SwitchVirtioMap { space, map }
    cmd::SuspendVirtio { suspend, rsvd }
    cmd::QueryMigration {}
    cmd::MigrationInfo {
        uuid, stream_version, oldest_version, caps, level, activity, max_ranges, min_page_shift,
        max_page_shift, rsvd, max_runs, state_size, rsvd2
    }
    cmd::SuspendFunction { level, rsvd }
    cmd::ResumeFunction { level, rsvd }
    cmd::BeginSave { pass, version }
    cmd::BeginSaveDone { length }
    cmd::StreamChunk { bytes }
    cmd::ReadSave { offset, length }
    cmd::QuerySave {}
    cmd::QuerySaveDone { unread, dirty, remaining, full, flags, rsvd }
    cmd::EndSave {}
    cmd::BeginLoad {}
    cmd::WriteLoad { offset, length, rsvd }
    cmd::LoadVerdict { fault, tag, record, taken }
    cmd::EndLoad { commit, rsvd }
    cmd::QueryFirmware { component, rsvd }
    cmd::FirmwareInfo {
        running, stored, running_slot, stored_slot, slots, activating, rsvd, psid, board, rsvd2
    }
    cmd::BeginFlash { component, overwrite, length }
    cmd::WriteFlash { offset, length }
    cmd::FlashChunk { bytes }
    cmd::EndFlash {}
    cmd::FlashVerdict { fault, slot, rsvd }
    cmd::ActivateFirmware {}
    cmd::TestFlash { component, rsvd }
    cmd::SetTrap { cause, action, policer, rsvd }
    cmd::SetTrapPolicer { policer, rsvd, rate, burst }
    cmd::QueryTraps {}
    cmd::TrapStats { dropped, policed }
    cmd::ReadTrapped {}
    cmd::ReadTrappedDone { cause, port, length, left }
    cmd::TrappedPacket { bytes }
    cmd::ReadCrash {}
    cmd::CrashDump { time, crashes, count, firmware, rsvd, commands }
    cmd::CrashCommand { time, opcode, tag, sender, function, status, rsvd }
    event::PacketTrapped { cause, rsvd }
    firmware::ImageHeader {
        magic, header_version, component, version, asic, psid, board, length, checksum, rsvd, header_checksum
    }
    cmd::StartDirtyLog { count, page_shift, rsvd, max_runs }
    cmd::LogRanges { ranges }
    cmd::LogRange { iova, length }
    cmd::StartDirtyLogDone { page_shift, rsvd }
    cmd::ReadDirtyLog { iova, length, number, rsvd }
    cmd::DirtyRuns { runs }
    cmd::DirtyRun { iova, length }
    cmd::ReadDirtyLogDone { runs, flags, number }
    cmd::StopDirtyLog {}
    cmd::InjectFault { kind, opcode, skip, count, param, chance, seed }
    cmd::ClearFaults {}
    event::Event { kind, function, payload, meta }
    event::LinkChange { speed, up, rsvd }
    event::FunctionChange { state, rsvd }
    event::QueueError { kind, index, syndrome, rsvd }
    event::HealthChange { syndrome }
    event::VirtioChange { generation, status, rsvd }
    event::SaveChange {}
    desc::QueueState { tail, arm, rsvd_driver, cq_tail, doorbell_event, rsvd_device }
    desc::TxDesc {
        addr, len, flags, vlan, csum_start, csum_offset, mss, header_len, rsvd
    }
    desc::TxCompletion { index, status, flags, timestamp }
    desc::RxDesc { addr, len, cookie }
    desc::RxCompletion {
        cookie, len, hash, flags, vlan, mss, segments, l4_offset, header_len, timestamp
    }
    mig::RecordHeader { tag, instance, length, number, checksum }
    mig::StreamHeader {
        magic, version, oldest_reader, abi_version, features, max_queues, vectors, rss_table,
        max_mtu, max_contexts, max_filters, max_depth_log2, rsvd
    }
    mig::IdentityRecord { mac, vlan, caps, max_eqs, function, rsvd, rate, uuid }
    mig::PortRecord { mac, mtu, mode, open, loops }
    mig::RssRecord { transform, fields, key }
    mig::FilterRecord { action, queue, context, rsvd, key, mask }
    mig::RegisterRecord {
        sq_addr, cq_addr, size, vector, control, scratch, syndrome, reset_ns, error, rsvd
    }
    mig::AdminRecord { sq_head, sq_tail, cq_head, cq_tail, depth_log2, rsvd }
    mig::EventQueueRecord { ring_addr, vector, depth_log2, rsvd, head, tail, sequence }
    mig::QueueRecord { head, cq_tail, signalled, skipped, since_interrupt, syndrome, marks, rsvd }
    mig::PacketRecord { about }
    mig::StreamEnd { records, rsvd }
}

macro_rules! codes {
    ($list:ident: $($($path:ident)::+),* $(,)?) => {
        fn $list() -> Vec<(&'static str, Vec<(&'static str, u64)>)> {
            vec![$((
                last(stringify!($($path)::+)),
                $($path)::+::NAMED.iter().map(|(name, value)| (*name, u64::from(*value))).collect(),
            )),*]
        }
    };
}

// Codes that have a table of their own, headed by the type's name. Opcodes and event kinds stand
// in the tables of commands and of events.
codes! { plain_codes:
    admin::Status, cmd::EswitchMode, cmd::FaultKind, cmd::FilterAction, cmd::QueueKind,
    cmd::RssFlow, cmd::RssTransform, cmd::RuleActionKind, cmd::SavePass, cmd::SuspendLevel,
    cmd::TrapAction, cmd::TrapCause,
    cmd::VirtioGroup, cmd::VirtioMap, cmd::VirtioStage, desc::TxStatus, event::FunctionState, event::QueueSyndrome, event::Syndrome,
    firmware::FirmwareComponent, firmware::ImageFault, mig::StreamFault,
    mig::StreamTag, regs::AdminError,
}
codes! { opcodes: admin::Opcode }
codes! { event_kinds: event::EventKind }
// Sets of flags, documented by bit number.
codes! { flag_sets:
    cmd::DirtyFlags, cmd::FlashOverwrite, cmd::Fragment, cmd::FunctionCaps, cmd::FunctionFields, cmd::MigrationActivity,
    cmd::MigrationCaps, cmd::RssFields, cmd::RssHash, cmd::RxMode, cmd::QueueFlags, cmd::SaveFlags,
    cmd::VirtioAccess, cmd::VirtioFields, mig::QueueMarks, desc::RxFlags, desc::TxDone, desc::TxFlags, regs::Features,
}

macro_rules! constants {
    ($($($path:ident)::+ = $value:expr;)*) => {
        /// Every other constant, with its value as text.
        fn constants() -> Vec<(&'static str, String)> {
            vec![$((last(stringify!($($path)::+)), $value.to_string())),*]
        }
    };
}

/// A range as the guide writes it.
fn range(range: std::ops::RangeInclusive<u8>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// Numbers as the guide lists them.
fn list(numbers: &[u16]) -> String {
    let numbers: Vec<_> = numbers.iter().map(u16::to_string).collect();
    numbers.join(", ")
}

constants! {
    ABI_VERSION = ABI_VERSION;
    admin::ADMIN_DEPTH_LOG2 = range(admin::ADMIN_DEPTH_LOG2);
    admin::PARAMS = admin::PARAMS;
    admin::RESULT = admin::RESULT;
    admin::MAX_DATA = admin::MAX_DATA;
    bar::BAR_REGS = bar::BAR_REGS;
    bar::BAR_REGS_SIZE = bar::BAR_REGS_SIZE;
    bar::VF_CONTROLS_OFFSET = bar::VF_CONTROLS_OFFSET;
    bar::BAR_DOORBELLS = bar::BAR_DOORBELLS;
    bar::BAR_MSIX = bar::BAR_MSIX;
    bar::MSIX_PBA_OFFSET = bar::MSIX_PBA_OFFSET;
    bar::BAR_MSIX_SIZE = bar::BAR_MSIX_SIZE;
    bar::PF_DOORBELL_PAGES = bar::PF_DOORBELL_PAGES;
    bar::DOORBELL_PAGE = bar::DOORBELL_PAGE;
    bar::DOORBELL_TX = bar::DOORBELL_TX;
    bar::DOORBELL_RX = bar::DOORBELL_RX;
    bar::DOORBELL_VIRTIO = bar::DOORBELL_VIRTIO;
    bar::DOORBELL_NOTIFY = bar::DOORBELL_NOTIFY;
    cmd::MAX_RULE_ACTIONS = cmd::MAX_RULE_ACTIONS;
    cmd::UPLINK = cmd::UPLINK;
    cmd::RATE_ROOT = cmd::RATE_ROOT;
    cmd::TRAFFIC_CLASSES = cmd::TRAFFIC_CLASSES;
    cmd::MAX_RX_FILTER = cmd::MAX_RX_FILTER;
    cmd::MAX_COPY = cmd::MAX_COPY;
    cmd::MAX_CHUNK = cmd::MAX_CHUNK;
    cmd::ANY_OPCODE = cmd::ANY_OPCODE;
    cmd::ONE_QUEUE = cmd::ONE_QUEUE;
    cmd::CRASH_COMMANDS = cmd::CRASH_COMMANDS;
    cmd::MAX_TRAPPED = cmd::MAX_TRAPPED;
    cmd::TRAP_POLICERS = cmd::TRAP_POLICERS;
    cmd::MAX_LOG_RANGES = cmd::MAX_LOG_RANGES;
    cmd::MIN_LOG_PAGE_SHIFT = cmd::MIN_LOG_PAGE_SHIFT;
    cmd::MAX_LOG_PAGE_SHIFT = cmd::MAX_LOG_PAGE_SHIFT;
    cmd::MAX_DIRTY_RUNS = cmd::MAX_DIRTY_RUNS;
    cmd::FRAME_CLASSES = cmd::FRAME_CLASSES;
    cmd::FRAME_CLASS_ENDS = list(&cmd::FRAME_CLASS_ENDS);
    cmd::MIN_FRAME = cmd::MIN_FRAME;
    cmd::FRAME_CHECKSUM = cmd::FRAME_CHECKSUM;
    cmd::RSS_KEY = cmd::RSS_KEY;
    cmd::MAX_RSS_TABLE = cmd::MAX_RSS_TABLE;
    cmd::RSS_FLOWS = cmd::RSS_FLOWS;
    cmd::VIRTIO_MAX_PAIRS = cmd::VIRTIO_MAX_PAIRS;
    cmd::VIRTIO_MAX_SIZE = cmd::VIRTIO_MAX_SIZE;
    cmd::VIRTIO_NO_VECTOR = cmd::VIRTIO_NO_VECTOR;
    cmd::VIRTIO_NO_QUEUE = cmd::VIRTIO_NO_QUEUE;
    cmd::VIRTIO_ADDRESS_SPACES = cmd::VIRTIO_ADDRESS_SPACES;
    cmd::VIRTIO_PAGE = cmd::VIRTIO_PAGE;
    cmd::VIRTIO_MAPPINGS = cmd::VIRTIO_MAPPINGS;
    desc::STATE_ALIGN = desc::STATE_ALIGN;
    desc::RING_ALIGN = desc::RING_ALIGN;
    desc::MAX_TX_SEGMENTS = desc::MAX_TX_SEGMENTS;
    desc::MAX_TX_PACKET = desc::MAX_TX_PACKET;
    desc::HEADER_PLACE = desc::HEADER_PLACE;
    desc::MAX_COALESCED = desc::MAX_COALESCED;
    event::EVENT_PAYLOAD = event::EVENT_PAYLOAD;
    firmware::IMAGE_MAGIC = String::from_utf8_lossy(&firmware::IMAGE_MAGIC);
    firmware::IMAGE_VERSION = firmware::IMAGE_VERSION;
    firmware::MAX_IMAGE = firmware::MAX_IMAGE;
    ids::PCI_VENDOR = ids::PCI_VENDOR;
    ids::PCI_DEVICE_PF = ids::PCI_DEVICE_PF;
    ids::PCI_DEVICE_VF = ids::PCI_DEVICE_VF;
    ids::PCI_CLASS = ids::PCI_CLASS;
    ids::PCI_REVISION = ids::PCI_REVISION;
    ids::MAX_VFS = ids::MAX_VFS;
    ids::MAX_SFS = ids::MAX_SFS;
    ids::MAX_QUEUES = ids::MAX_QUEUES;
    ids::MAX_VECTORS = ids::MAX_VECTORS;
    ids::MIN_MTU = ids::MIN_MTU;
    ids::MAX_MTU = ids::MAX_MTU;
    ids::FunctionId::PF = ids::FunctionId::PF.0;
    ids::FunctionId::REPRESENTOR = ids::FunctionId::REPRESENTOR;
    ids::FunctionId::FIRST_SF = ids::FunctionId::FIRST_SF;
    mig::STREAM_VERSION = mig::STREAM_VERSION;
    mig::OLDEST_STREAM = mig::OLDEST_STREAM;
    mig::STREAM_MAGIC = String::from_utf8_lossy(&mig::STREAM_MAGIC);
    mig::OPTIONAL = mig::OPTIONAL;
    mig::REMOVED = mig::REMOVED;
    mig::MAX_RECORD = mig::MAX_RECORD;
    ring::Depth::LOG2_RANGE = range(ring::Depth::LOG2_RANGE);
}

/// Constants of the source that are tables or belong to a trait, hence documented by what they hold.
const TABLES: &[&str] = &["REGISTERS", "COMMANDS", "NAMES", "NAMED", "INFO", "OFFSET"];

/// Tables that are prose in columns, by their first heading.
const PROSE: &[&str] = &["Page", "Capability", "Group", "Reset", "State", "Version"];

fn last(path: &'static str) -> &'static str {
    path.rsplit("::").next().unwrap_or(path).trim()
}

/// Compares what the code defines with what the guide says; both are maps by name.
fn assert_same<V: PartialEq + std::fmt::Debug>(
    what: &str,
    code: &BTreeMap<String, V>,
    guide: &BTreeMap<String, V>,
) {
    for (name, value) in code {
        match guide.get(name) {
            None => panic!("{what} {name} is in the code and not in Documentation/hw"),
            Some(found) => assert_eq!(
                value, found,
                "{what} {name}: left is the code, right is Documentation/hw"
            ),
        }
    }
    for name in guide.keys() {
        assert!(
            code.contains_key(name),
            "{what} {name} is in Documentation/hw and not in the code"
        );
    }
}

/// Collects rows by name and refuses to have one twice.
fn by_name<V>(what: &str, rows: impl IntoIterator<Item = (String, V)>) -> BTreeMap<String, V> {
    let mut map = BTreeMap::new();
    for (name, value) in rows {
        assert!(
            map.insert(name.clone(), value).is_none(),
            "{what} {name} is documented twice"
        );
    }
    map
}

fn number(text: &str) -> u64 {
    guide::number(text).unwrap_or_else(|| panic!("not a number: {text}"))
}

#[test]
fn every_register_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "register",
        guide
            .tables(&["Offset", "Register", "Access", "Reset", "Meaning"])
            .flat_map(|table| {
                table.rows.iter().map(|row| {
                    let reset = (row[3] != "device").then(|| number(&row[3]));
                    (row[1].clone(), (number(&row[0]), row[2].clone(), reset))
                })
            }),
    );
    let defined = REGISTERS
        .iter()
        .map(|info| {
            let access = match info.access {
                Access::Ro => "RO",
                Access::Rw => "RW",
                Access::Wo => "WO",
            };
            let value = (
                u64::from(info.offset),
                access.to_owned(),
                info.reset.map(u64::from),
            );
            (info.name.to_owned(), value)
        })
        .collect();
    assert_same("register", &defined, &documented);
}

#[test]
fn every_field_of_a_register_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "register",
        guide.tables(&["Bits", "", "Meaning"]).map(|table| {
            let fields: Vec<_> = table
                .rows
                .iter()
                .map(|row| {
                    let (hi, lo) = row[0].split_once(':').expect("bits are written hi:lo");
                    (row[1].clone(), number(hi), number(lo))
                })
                .collect();
            (table.head[1].clone(), fields)
        }),
    );
    let defined = REGISTERS
        .iter()
        .map(|info| {
            let fields = info
                .fields
                .iter()
                .map(|(name, hi, lo)| ((*name).to_owned(), u64::from(*hi), u64::from(*lo)))
                .collect();
            (info.name.to_owned(), fields)
        })
        .collect();
    assert_same("fields of register", &defined, &documented);
}

#[test]
fn every_command_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "command",
        guide
            .tables(&[
                "Opcode",
                "Name",
                "Command",
                "Parameters",
                "Result",
                "Data",
                "Sender",
            ])
            .flat_map(|table| table.rows.iter().map(|row| (row[2].clone(), row.clone()))),
    );
    // The guide also names the struct in the data buffer, which must be one of that size.
    let sizes: BTreeMap<_, _> = structs()
        .into_iter()
        .map(|(name, size, _)| (name, size))
        .collect();
    for (name, row) in &documented {
        if let Some((data, rest)) = row[5].split_once(", ") {
            let size = number(rest.split(' ').next().unwrap_or_default());
            assert_eq!(
                sizes.get(data).map(|size| *size as u64),
                Some(size),
                "data of {name}"
            );
        }
    }
    let without_struct = documented
        .into_iter()
        .map(|(name, mut row)| {
            if let Some((_, rest)) = row[5].split_once(", ") {
                row[5] = rest.to_owned();
            }
            (name, row)
        })
        .collect();
    let defined = cmd::COMMANDS
        .iter()
        .map(|info| (info.name.to_owned(), command_row(info)))
        .collect();
    assert_same("command", &defined, &without_struct);

    // Every opcode is a command.
    let with_command: BTreeSet<_> = cmd::COMMANDS.iter().map(|info| info.opcode.0).collect();
    for (name, value) in admin::Opcode::NAMED {
        assert!(with_command.contains(value), "opcode {name} has no command");
    }
}

fn command_row(info: &CommandInfo) -> Vec<String> {
    let (params, result, data) = info.sizes;
    vec![
        format!("{:#06x}", info.opcode.0),
        info.opcode.name().expect("an opcode has a name").to_owned(),
        info.name.to_owned(),
        params.to_string(),
        result.to_string(),
        match info.data {
            DataDirection::None => "-".to_owned(),
            DataDirection::ToDevice => format!("{data} to device"),
            DataDirection::FromDevice => format!("{data} from device"),
        },
        if info.pf_only { "PF" } else { "any" }.to_owned(),
    ]
}

#[test]
fn every_wire_struct_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "struct",
        guide
            .tables(&["Offset", "Size", "", "Meaning"])
            .map(|table| {
                let (name, size) = table.head[2].split_once(" (").expect("`Name` (N bytes)");
                let size = number(size.strip_suffix(" bytes)").expect("`Name` (N bytes)"));
                let fields: Vec<_> = table
                    .rows
                    .iter()
                    .map(|row| (row[2].clone(), number(&row[0]), number(&row[1])))
                    .collect();
                (name.to_owned(), (size, fields))
            }),
    );
    let defined = structs()
        .into_iter()
        .map(|(name, size, fields)| {
            // No field is left out of the list above: they fill the struct.
            let mut end = 0;
            for (field, offset, size) in &fields {
                assert_eq!(end, *offset, "{name}: what is before {field}?");
                end = offset + size;
            }
            assert_eq!(end, size, "{name}: what is at its end?");
            let fields = fields
                .into_iter()
                .map(|(field, offset, size)| (field.to_owned(), offset as u64, size as u64))
                .collect();
            (name.to_owned(), (size as u64, fields))
        })
        .collect();
    assert_same("struct", &defined, &documented);
}

#[test]
fn every_code_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "codes",
        guide.tables(&["Value", "", "Meaning"]).map(code_table),
    );
    let defined = owned(plain_codes());
    assert_same("codes", &defined, &documented);
}

#[test]
fn every_flag_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "flags",
        guide.tables(&["Bit", "", "Meaning"]).map(code_table),
    );
    let defined = owned(flag_sets())
        .into_iter()
        .map(|(name, flags)| {
            let bits = flags
                .into_iter()
                .map(|(flag, value)| {
                    assert!(value.is_power_of_two(), "{name}::{flag} is not one bit");
                    (flag, u64::from(value.trailing_zeros()))
                })
                .collect();
            (name, bits)
        })
        .collect();
    assert_same("flags", &defined, &documented);
}

fn code_table(table: &Table) -> (String, Vec<(String, u64)>) {
    let rows = table
        .rows
        .iter()
        .map(|row| (row[1].clone(), number(&row[0])))
        .collect();
    (table.head[1].clone(), rows)
}

fn owned(codes: Vec<(&str, Vec<(&str, u64)>)>) -> BTreeMap<String, Vec<(String, u64)>> {
    let own = |values: Vec<(&str, u64)>| {
        values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    };
    codes
        .into_iter()
        .map(|(name, values)| (name.to_owned(), own(values)))
        .collect()
}

#[test]
fn every_event_is_documented_as_it_is() {
    let guide = Guide::read();
    let documented = by_name(
        "event",
        guide
            .tables(&["Event", "Value", "Payload", "Meaning"])
            .flat_map(|table| {
                table
                    .rows
                    .iter()
                    .map(|row| (row[0].clone(), (number(&row[1]), row[2].clone())))
            }),
    );
    fn payload<P: Payload>(name: &str) -> (u16, String) {
        (P::KIND.0, name.to_owned())
    }
    let payloads = BTreeMap::from([
        payload::<event::LinkChange>("LinkChange"),
        payload::<event::FunctionChange>("FunctionChange"),
        payload::<event::QueueError>("QueueError"),
        payload::<event::HealthChange>("HealthChange"),
        payload::<event::VirtioChange>("VirtioChange"),
        payload::<event::SaveChange>("SaveChange"),
        payload::<event::PacketTrapped>("PacketTrapped"),
    ]);
    let defined = event::EventKind::NAMED
        .iter()
        .map(|(name, value)| {
            let payload = payloads
                .get(value)
                .expect("every kind of event has a payload");
            ((*name).to_owned(), (u64::from(*value), payload.clone()))
        })
        .collect();
    assert_same("event", &defined, &documented);
}

#[test]
fn every_constant_is_documented_as_it_is() {
    let guide = Guide::read();
    let value = |text: &str| guide::number(text).map_or(text.to_owned(), |n| n.to_string());
    let documented = by_name(
        "constant",
        guide
            .tables(&["Constant", "Value", "Meaning"])
            .flat_map(|table| {
                table
                    .rows
                    .iter()
                    .map(|row| (row[0].clone(), value(&row[1])))
                    .collect::<Vec<_>>()
            }),
    );
    let defined = constants()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_same("constant", &defined, &documented);
}

#[test]
fn the_history_ends_with_the_version() {
    let guide = Guide::read();
    let versions: Vec<_> = guide
        .tables(&["Version", "Change"])
        .flat_map(|table| table.rows.iter().map(|row| row[0].clone()))
        .collect();
    let version = format!("{}.{}", ABI_VERSION >> 16, ABI_VERSION & 0xffff);
    assert_eq!(versions.last(), Some(&version));
    assert_eq!(
        u32::from(ids::PCI_REVISION),
        ABI_VERSION >> 16,
        "revision id is the major version"
    );
}

#[test]
fn every_port_counter_is_documented_in_its_order() {
    let (_, _, fields) = structs()
        .into_iter()
        .find(|(name, ..)| *name == "PortStats")
        .expect("PortStats is a wire struct");
    let names: Vec<_> = fields.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, cmd::PortStats::NAMES);
}

#[test]
fn no_table_of_the_guide_is_left_unchecked() {
    let guide = Guide::read();
    for table in &guide.tables {
        assert!(
            guide::KINDS.iter().any(|kind| table.is(kind))
                || PROSE.contains(&table.head[0].as_str()),
            "nothing checks the table headed {:?} in {}",
            table.head,
            table.file
        );
    }
}

#[test]
fn no_definition_of_the_code_is_left_unchecked() {
    let source = guide::read_source();
    let known = |names: Vec<&str>| {
        names
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };

    let structs = known(structs().into_iter().map(|(name, ..)| name).collect());
    assert_eq!(
        source.structs, structs,
        "left: wire structs in the source, right: list here"
    );

    let codes: Vec<_> = [plain_codes(), opcodes(), event_kinds(), flag_sets()]
        .concat()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        source.codes,
        known(codes),
        "left: codes in the source, right: lists here"
    );

    let mut constants = known(constants().into_iter().map(|(name, _)| name).collect());
    constants.extend(known(TABLES.to_vec()));
    let missing: Vec<_> = source.constants.difference(&constants).collect();
    assert!(
        missing.is_empty(),
        "constants in the source that nothing here checks: {missing:?}"
    );
}

#[test]
fn the_prose_names_only_what_exists() {
    let guide = Guide::read();
    let mut known = BTreeSet::new();
    known.extend(structs().into_iter().map(|(name, ..)| name.to_owned()));
    for (name, values) in [plain_codes(), opcodes(), event_kinds(), flag_sets()].concat() {
        known.insert(name.to_owned());
        known.extend(values.into_iter().map(|(value, _)| value.to_owned()));
    }
    known.extend(constants().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(REGISTERS.iter().map(|info| info.name.to_owned()));
    // Types and values of the contract that no table lists.
    known.extend(["FunctionId", "FERR"].map(str::to_owned));

    let fields: BTreeSet<_> = structs()
        .into_iter()
        .flat_map(|(name, _, fields)| fields.into_iter().map(move |(field, ..)| (name, field)))
        .chain(
            REGISTERS
                .iter()
                .flat_map(|info| info.fields.iter().map(|(name, ..)| (info.name, *name))),
        )
        .collect();
    for (file, name) in &guide.names {
        match name.split_once('.') {
            None => assert!(
                known.contains(name),
                "{file} speaks of {name}, which does not exist"
            ),
            Some((owner, field)) => assert!(
                fields.contains(&(owner, field)),
                "{file} speaks of {name}, which does not exist"
            ),
        }
    }
}
