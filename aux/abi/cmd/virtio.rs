// SPDX-License-Identifier: GPL-2.0

//! Commands about virtio functions: a function as a virtio-net device, its queues and its memory.

use super::command;
use crate::wire::*;

/// Largest number of queue pairs of a virtio function.
pub const VIRTIO_MAX_PAIRS: u16 = 63;
/// Largest number of entries of a virtqueue.
pub const VIRTIO_MAX_SIZE: u16 = 4096;
/// Stands for no MSI-X vector: the queue interrupts nobody.
pub const VIRTIO_NO_VECTOR: u16 = 0xffff;
/// Stands for no queue.
pub const VIRTIO_NO_QUEUE: u16 = 0xffff;
/// Number of address spaces of a virtio function.
pub const VIRTIO_ADDRESS_SPACES: u16 = 4;
/// Bytes to which mappings are aligned.
pub const VIRTIO_PAGE: u64 = 0x1000;

/// Tells what a function can be as a virtio-net device.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryVirtio {}
command!(QueryVirtio = QUERY_VIRTIO, done QueryVirtioDone, none [u8; 0], any);

/// Answer to [`QueryVirtio`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryVirtioDone {
    /// Features of virtio that it can offer, by the bit numbers of the virtio specification.
    pub features: U64,
    /// Largest number of queue pairs.
    pub max_pairs: U16,
    /// Largest number of entries of a queue.
    pub max_size: U16,
    /// Largest number of mappings of each address space.
    pub max_mappings: U32,
    /// Number of address spaces.
    pub address_spaces: U16,
    /// Bytes of the configuration space.
    pub config_size: U16,
}
layout!(QueryVirtioDone: 20 {
    features @ 0, max_pairs @ 8, max_size @ 10, max_mappings @ 12, address_spaces @ 16,
    config_size @ 18,
});

/// Makes a function a virtio-net device, in the state after a reset.
///
/// `IN_USE` if it is one already or has queues of the network data path, `INVALID_FIELD` for
/// features that it cannot offer, or a number or an address out of range.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateVirtio {
    /// Features that are offered to the driver.
    pub features: U64,
    /// MAC address, zero for the one that the function has.
    pub mac: [u8; 6],
    /// Largest packet that it receives, in bytes of layer 3.
    pub mtu: U16,
    /// Number of queue pairs.
    pub pairs: U16,
    /// Reserved.
    pub rsvd: [u8; 6],
}
layout!(CreateVirtio: 24 { features @ 0, mac @ 8, mtu @ 14, pairs @ 16, rsvd @ 18 });
command!(CreateVirtio = CREATE_VIRTIO);

/// Ends the virtio-net device: the function has no queues then, its port is as it was provisioned.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestroyVirtio {}
command!(DestroyVirtio = DESTROY_VIRTIO);

codes! {
    /// What [`ModifyVirtio`] changes.
    pub struct VirtioFields(u16) {
        /// `mac`, until the device is ended.
        MAC = 1 << 0;
        /// The driver is asked to announce itself to the network.
        ANNOUNCE = 1 << 1;
    }
}

/// Changes the configuration of a virtio-net device, and tells its driver.
///
/// `INVALID_FIELD` for a multicast or zero address; `BAD_STATE` to ask a driver for an announcement
/// that did not accept the feature or does not run.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModifyVirtio {
    /// [`VirtioFields`].
    pub mask: U16,
    /// MAC address.
    pub mac: [u8; 6],
}
layout!(ModifyVirtio: 8 { mask @ 0, mac @ 2 });
command!(ModifyVirtio = MODIFY_VIRTIO);

/// Tells the state of a virtio-net device.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryVirtioState {}
command!(QueryVirtioState = QUERY_VIRTIO_STATE, done VirtioState, none [u8; 0], any);

/// Answer to [`QueryVirtioState`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtioState {
    /// Features that the driver accepted.
    pub features: U64,
    /// Generation of the configuration space.
    pub generation: U32,
    /// Index of the control queue, [`VIRTIO_NO_QUEUE`] if there is none with these features.
    pub control: U16,
    /// Queue pairs that the driver uses.
    pub pairs: U16,
    /// Device status, by the bits of the virtio specification.
    pub status: u8,
    /// 1 while suspended.
    pub suspended: u8,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(VirtioState: 20 {
    features @ 0, generation @ 8, control @ 12, pairs @ 14, status @ 16, suspended @ 17, rsvd @ 18,
});

/// Accepts features on behalf of the driver.
///
/// `INVALID_FIELD` for features that are not offered, that need others, or that lack those without
/// which the device does not work; `BAD_STATE` once the status has `FEATURES_OK`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVirtioFeatures {
    /// The features.
    pub features: U64,
}
layout!(SetVirtioFeatures: 8 { features @ 0 });
command!(SetVirtioFeatures = SET_VIRTIO_FEATURES);

/// Sets the device status; 0 resets the device, but for its mappings.
///
/// `INVALID_FIELD` if bits are taken back without a reset, or `FEATURES_OK` is set and no features
/// were accepted.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVirtioStatus {
    /// The bits.
    pub status: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(SetVirtioStatus: 4 { status @ 0, rsvd @ 1 });
command!(SetVirtioStatus = SET_VIRTIO_STATUS);

/// Reads the configuration space.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadVirtioConfig {}
command!(
    ReadVirtioConfig = READ_VIRTIO_CONFIG,
    done ReadVirtioConfigDone,
    from_device VirtioConfig,
    any
);

/// Answer to [`ReadVirtioConfig`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadVirtioConfigDone {
    /// Generation that was read.
    pub generation: U32,
}
layout!(ReadVirtioConfigDone: 4 { generation @ 0 });

/// Data buffer of [`ReadVirtioConfig`]: the configuration space of the virtio specification.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtioConfig {
    /// The bytes, zero behind `config_size` of [`QueryVirtioDone`].
    pub bytes: [u8; 32],
}
layout!(VirtioConfig: 32 { bytes @ 0 });

/// Makes a virtqueue ready. Whether it is split or packed is a matter of the features.
///
/// `INVALID_FIELD` for an index, size, address or position that cannot be, `BAD_STATE` unless the
/// status has `FEATURES_OK`, `IN_USE` if it is ready already.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EnableVirtqueue {
    /// Address of the descriptor area.
    pub descriptors: U64,
    /// Address of the driver area.
    pub driver: U64,
    /// Address of the device area.
    pub device: U64,
    /// Index of the queue.
    pub index: U16,
    /// Number of entries.
    pub size: U16,
    /// MSI-X vector, or [`VIRTIO_NO_VECTOR`].
    pub vector: U16,
    /// Where the device takes the next buffer, as in [`VirtqueueState`].
    pub avail: U16,
    /// Where the device returns the next buffer.
    pub used: U16,
    /// Reserved.
    pub rsvd: [u8; 6],
}
layout!(EnableVirtqueue: 40 {
    descriptors @ 0, driver @ 8, device @ 16, index @ 24, size @ 26, vector @ 28, avail @ 30,
    used @ 32, rsvd @ 34,
});
command!(EnableVirtqueue = ENABLE_VIRTQUEUE);

/// Makes a virtqueue not ready any more, which resets it. The device touches none of its memory
/// after the completion. `BAD_STATE` if it is not ready.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DisableVirtqueue {
    /// Index of the queue.
    pub index: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(DisableVirtqueue: 4 { index @ 0, rsvd @ 2 });
command!(DisableVirtqueue = DISABLE_VIRTQUEUE, done VirtqueueState, none [u8; 0], any);

/// Tells where a virtqueue stands.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryVirtqueue {
    /// Index of the queue.
    pub index: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryVirtqueue: 4 { index @ 0, rsvd @ 2 });
command!(QueryVirtqueue = QUERY_VIRTQUEUE, done VirtqueueState, none [u8; 0], any);

/// Where a virtqueue stands. A split queue tells free-running indices; a packed one tells positions
/// in bits 14:0 and wrap counters in bit 15. All is zero of a queue that is not ready.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtqueueState {
    /// Where the device takes the next buffer.
    pub avail: U16,
    /// Where the device returns the next buffer.
    pub used: U16,
    /// [`QueueSyndrome`](crate::event::QueueSyndrome).
    pub syndrome: U16,
    /// 1 if it is ready.
    pub ready: u8,
    /// Reserved.
    pub rsvd: u8,
}
layout!(VirtqueueState: 8 { avail @ 0, used @ 2, syndrome @ 4, ready @ 6, rsvd @ 7 });

/// Has a virtqueue that is ready raise another vector from now on. `BAD_STATE` if it is not ready.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVirtqueueVector {
    /// Index of the queue.
    pub index: U16,
    /// MSI-X vector, or [`VIRTIO_NO_VECTOR`].
    pub vector: U16,
}
layout!(SetVirtqueueVector: 4 { index @ 0, vector @ 2 });
command!(SetVirtqueueVector = SET_VIRTQUEUE_VECTOR);

/// Writes the counters of a virtqueue that is ready to the data buffer. `BAD_STATE` if it is not.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryVirtqueueStats {
    /// Index of the queue.
    pub index: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryVirtqueueStats: 4 { index @ 0, rsvd @ 2 });
command!(
    QueryVirtqueueStats = QUERY_VIRTQUEUE_STATS,
    done (),
    from_device VirtqueueStats,
    any
);

/// What [`QueryVirtqueueStats`] writes: counters since the queue became ready.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtqueueStats {
    /// Buffers that the device took.
    pub received_desc: U64,
    /// Buffers that it returned.
    pub completed_desc: U64,
    /// Packets, or commands of a control queue, that were carried out.
    pub packets: U64,
    /// Bytes of these packets.
    pub bytes: U64,
    /// Packets or commands that were refused, or could not be read or written.
    pub errors: U64,
    /// Packets that were lost for want of buffers.
    pub dropped: U64,
    /// Interrupts that were raised.
    pub interrupts: U64,
}
layout!(VirtqueueStats: 56 {
    received_desc @ 0, completed_desc @ 8, packets @ 16, bytes @ 24, errors @ 32, dropped @ 40,
    interrupts @ 48,
});

impl VirtqueueStats {
    /// Names of the counters in their order.
    pub const NAMES: &'static [&'static str] = &[
        "received_desc",
        "completed_desc",
        "packets",
        "bytes",
        "errors",
        "dropped",
        "interrupts",
    ];

    /// Returns the counters in their order.
    pub fn values(&self) -> [u64; 7] {
        [
            self.received_desc.get(),
            self.completed_desc.get(),
            self.packets.get(),
            self.bytes.get(),
            self.errors.get(),
            self.dropped.get(),
            self.interrupts.get(),
        ]
    }
}

codes! {
    /// What shares an address space.
    pub struct VirtioGroup(u16) {
        /// The buffers of receive and transmit queues.
        DATA = 0;
        /// The control queue: its areas and buffers.
        CONTROL = 1;
        /// The descriptor, driver and device areas of receive and transmit queues.
        RINGS = 2;
    }
}

/// Puts a group into an address space. All are in the first after a reset.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVirtioGroup {
    /// [`VirtioGroup`].
    pub group: U16,
    /// Number of the address space.
    pub space: U16,
}
layout!(SetVirtioGroup: 4 { group @ 0, space @ 2 });
command!(SetVirtioGroup = SET_VIRTIO_GROUP);

codes! {
    /// What the device may do with a mapping.
    pub struct VirtioAccess(u32) {
        /// Read.
        READ = 1 << 0;
        /// Write.
        WRITE = 1 << 1;
    }
}

/// Number of [`VirtioMapping`] in a data buffer.
pub const VIRTIO_MAPPINGS: usize = 128;

/// A piece of an address space.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtioMapping {
    /// First address in the address space.
    pub iova: U64,
    /// Length in bytes.
    pub length: U64,
    /// Bus address that it leads to.
    pub addr: U64,
    /// [`VirtioAccess`].
    pub access: U32,
    /// Reserved.
    pub rsvd: [u8; 4],
}
layout!(VirtioMapping: 32 { iova @ 0, length @ 8, addr @ 16, access @ 24, rsvd @ 28 });

/// Data buffer of [`MapVirtio`]; only the first `count` have a meaning.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtioMappings {
    /// The mappings.
    pub entries: [VirtioMapping; VIRTIO_MAPPINGS],
}
layout!(VirtioMappings: 4096 { entries @ 0 });

codes! {
    /// When the mappings of [`MapVirtio`] count.
    pub struct VirtioStage(u8) {
        /// At once, in addition to those that do.
        NOW = 0;
        /// Once [`SwitchVirtioMap`] says so, in place of those that were prepared before.
        FIRST = 1;
        /// Once [`SwitchVirtioMap`] says so, in addition to those that were prepared before.
        MORE = 2;
    }
}

/// Adds mappings to an address space, which maps nothing else then than what was added.
///
/// `INVALID_FIELD` if one is not aligned, empty, passes the end of addresses, or overlaps another;
/// `NO_RESOURCE` if there were too many. None is added then.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapVirtio {
    /// Number of the address space.
    pub space: U16,
    /// Number of mappings in the data buffer.
    pub count: U16,
    /// [`VirtioStage`].
    pub stage: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(MapVirtio: 8 { space @ 0, count @ 2, stage @ 4, rsvd @ 5 });
command!(MapVirtio = MAP_VIRTIO, done (), to_device VirtioMappings, any);

/// Removes the mappings of a range from an address space.
///
/// `INVALID_FIELD` if the range would cut a mapping.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapVirtio {
    /// First address of the range.
    pub iova: U64,
    /// Length of the range in bytes.
    pub length: U64,
    /// Number of the address space.
    pub space: U16,
    /// Reserved.
    pub rsvd: [u8; 6],
}
layout!(UnmapVirtio: 24 { iova @ 0, length @ 8, space @ 16, rsvd @ 18 });
command!(UnmapVirtio = UNMAP_VIRTIO);

codes! {
    /// What an address space maps.
    pub struct VirtioMap(u16) {
        /// Every address to itself; so it is when the device is made.
        IDENTITY = 0;
        /// Nothing.
        NOTHING = 1;
        /// What was prepared; nothing is prepared from then on.
        STAGED = 2;
    }
}

/// Replaces all that an address space maps, at once.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SwitchVirtioMap {
    /// Number of the address space.
    pub space: U16,
    /// [`VirtioMap`].
    pub map: U16,
}
layout!(SwitchVirtioMap: 4 { space @ 0, map @ 2 });
command!(SwitchVirtioMap = SWITCH_VIRTIO_MAP);

/// Suspends or resumes a virtio-net device. After the completion a suspended device takes no buffer,
/// and has returned all that it took. A reset resumes it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SuspendVirtio {
    /// 1 suspends, 0 resumes.
    pub suspend: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(SuspendVirtio: 4 { suspend @ 0, rsvd @ 1 });
command!(SuspendVirtio = SUSPEND_VIRTIO);
