// SPDX-License-Identifier: GPL-2.0

//! A function as a virtio-net device, by version 1.3 of the virtio specification.
//!
//! What the specification has in registers is behind admin commands here ([`crate::cmd`]); rings,
//! packets and the control queue are as it says. Packets take the same way through the switch as
//! those of the function's own queues, which it does not have meanwhile.

mod control;
mod datagrams;
mod packed;
mod queue;
mod rx;
mod space;
pub(crate) mod spec;
mod split;
mod steering;
mod tx;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CreateVirtio,
    EnableVirtqueue,
    RxMode,
    VirtioGroup,
    VirtioState,
    VirtqueueState,
    VIRTIO_ADDRESS_SPACES,
    VIRTIO_MAX_PAIRS,
    VIRTIO_NO_QUEUE, //
};
use ferrite_abi::event::{
    QueueError,
    QueueSyndrome,
    VirtioChange, //
};
use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};

use crate::backlog::Pool;
use crate::bus::bus;
use crate::device::Device;
use crate::host::{
    Host,
    Trace, //
};
use crate::mac::Mac;
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;

use queue::Dma;
pub(crate) use queue::Virtqueue;
pub(crate) use space::{
    Space,
    MAX_MAPPINGS, //
};
use spec::{
    feature,
    status,
    NetConfig, //
};
use steering::Steering;

/// All features that a function can offer.
pub(crate) const FEATURES: u64 = feature::CSUM
    | feature::GUEST_CSUM
    | feature::CTRL_GUEST_OFFLOADS
    | feature::MTU
    | feature::MAC
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::HOST_ECN
    | feature::MRG_RXBUF
    | feature::STATUS
    | feature::CTRL_VQ
    | feature::CTRL_RX
    | feature::CTRL_VLAN
    | feature::CTRL_RX_EXTRA
    | feature::GUEST_ANNOUNCE
    | feature::MQ
    | feature::CTRL_MAC_ADDR
    | feature::INDIRECT_DESC
    | feature::EVENT_IDX
    | NEEDED
    | feature::RING_PACKED
    | feature::IN_ORDER
    | feature::ORDER_PLATFORM
    | feature::NOTIFICATION_DATA
    | feature::RING_RESET
    | feature::GUEST_USO4
    | feature::GUEST_USO6
    | feature::HOST_USO
    | feature::HASH_REPORT
    | feature::RSS
    | feature::SPEED_DUPLEX;

/// Features without which the device does not work.
const NEEDED: u64 = feature::VERSION_1 | feature::ACCESS_PLATFORM;

/// Features, each with those of which it needs one (5.1.3.1).
const DEPENDENCIES: &[(u64, u64)] = &[
    (feature::GUEST_TSO4, feature::GUEST_CSUM),
    (feature::GUEST_TSO6, feature::GUEST_CSUM),
    (feature::GUEST_USO4, feature::GUEST_CSUM),
    (feature::GUEST_USO6, feature::GUEST_CSUM),
    (feature::HOST_TSO4, feature::CSUM),
    (feature::HOST_TSO6, feature::CSUM),
    (feature::HOST_USO, feature::CSUM),
    (feature::HOST_ECN, feature::HOST_TSO4 | feature::HOST_TSO6),
    (feature::CTRL_RX, feature::CTRL_VQ),
    (feature::CTRL_RX_EXTRA, feature::CTRL_VQ),
    (feature::CTRL_VLAN, feature::CTRL_VQ),
    (feature::GUEST_ANNOUNCE, feature::CTRL_VQ),
    (feature::MQ, feature::CTRL_VQ),
    (feature::CTRL_MAC_ADDR, feature::CTRL_VQ),
    (feature::RSS, feature::CTRL_VQ),
    (feature::HASH_REPORT, feature::CTRL_VQ),
    (feature::CTRL_GUEST_OFFLOADS, feature::CTRL_VQ),
];

/// Number of VLANs.
const VLANS: usize = 4096;

/// What of a virtio-net device a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives, for the pair of this number.
    Rx(u16),
    /// Transmits.
    Tx,
    /// Carries out commands.
    Control,
}

/// What a driver asked to receive, beyond what the port knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    /// No unicast, multicast, broadcast.
    without: [bool; 3],
    /// Everything; all unicast; all multicast.
    all: [bool; 3],
    /// Bits of the VLANs, if they are filtered.
    vlans: Vec<u64>,
}

impl crate::save::Saved for [bool; 3] {
    fn save(&self, writer: &mut crate::save::Writer) {
        self.map(u8::from).save(writer);
    }

    fn load(reader: &mut crate::save::Reader<'_>) -> Result<Self, LoadError> {
        let [a, b, c] = [0; 3].map(|_: u8| bool::load(reader));
        Ok([a?, b?, c?])
    }
}

saved!(Filter {
    without,
    all,
    vlans
});

impl Filter {
    /// What is received after a reset, with these features.
    fn new(features: u64) -> Self {
        let vlans = if features & feature::CTRL_VLAN != 0 {
            vec![0; VLANS / 64]
        } else {
            Vec::new()
        };
        Self {
            without: [false; 3],
            all: [false; 3],
            vlans,
        }
    }

    /// Returns what the port is to receive.
    fn mode(&self) -> RxMode {
        let [everything, unicast, multicast] = self.all;
        let mut mode = RxMode(0);
        if everything || unicast {
            mode = mode.with(RxMode::PROMISCUOUS);
        }
        if multicast {
            mode = mode.with(RxMode::ALL_MULTICAST);
        }
        mode
    }

    /// Returns whether it lets a frame pass.
    fn passes(&self, destination: Mac, vlan: Option<u16>) -> bool {
        if self.all[0] {
            return true;
        }
        let [unicast, multicast, broadcast] = self.without;
        let group = if destination == Mac::BROADCAST {
            broadcast
        } else if destination.is_multicast() {
            multicast
        } else {
            unicast
        };
        let tagged = vlan.is_none_or(|tci| {
            let id = usize::from(tci) % VLANS;
            let word = self.vlans.get(id / 64);
            word.is_none_or(|word| word & 1 << (id % 64) != 0)
        });
        !group && tagged
    }
}

/// A virtio-net device.
#[derive(Debug)]
pub(crate) struct Virtio {
    /// Features that are offered.
    offered: u64,
    /// Features that the driver accepted.
    features: u64,
    status: u8,
    suspended: bool,
    /// Generation of the configuration space.
    generation: u32,
    /// Whether the driver is to announce itself.
    announce: bool,
    /// Address after a reset.
    mac: Mac,
    mtu: u16,
    /// Number of queue pairs.
    pairs: u16,
    /// The queues, by index: a pair has two, the last is for control.
    queues: Vec<Option<Box<Virtqueue>>>,
    /// The address spaces.
    spaces: Vec<Space>,
    /// The address space of each group.
    groups: Vec<u16>,
    steering: Steering,
    filter: Filter,
    /// Features of receiving that are on.
    offloads: u64,
}

saved!(Virtio {
    offered,
    features,
    status,
    suspended,
    generation,
    announce,
    mac,
    mtu,
    pairs,
    queues,
    spaces,
    groups,
    steering,
    filter,
    offloads
});

impl Virtio {
    /// Makes a device as `command` asks for, of a function that has no more than `most` queue pairs
    /// and otherwise this address.
    pub(crate) fn new(command: &CreateVirtio, mac: Mac, most: u16) -> Option<Self> {
        let (offered, pairs) = (command.features.get(), command.pairs.get());
        let mac = if command.mac == [0; 6] {
            mac
        } else {
            Mac(command.mac)
        };
        let virtio = Self {
            offered,
            features: 0,
            status: 0,
            suspended: false,
            generation: 0,
            announce: false,
            mac,
            mtu: command.mtu.get(),
            pairs,
            queues: (0..=2 * u32::from(pairs.min(VIRTIO_MAX_PAIRS)))
                .map(|_| None)
                .collect(),
            spaces: (0..VIRTIO_ADDRESS_SPACES)
                .map(|_| Space::default())
                .collect(),
            groups: vec![0; VirtioGroup::NAMED.len()],
            steering: Steering::default(),
            filter: Filter::new(0),
            offloads: 0,
        };
        virtio.is_possible(most).then_some(virtio)
    }

    /// Returns whether there can be such a device.
    fn is_possible(&self, most: u16) -> bool {
        self.offered & !FEATURES == 0
            && self.offered & NEEDED == NEEDED
            && self.mac.is_station()
            && (MIN_MTU..=MAX_MTU).contains(&self.mtu)
            && (1..=most).contains(&self.pairs)
    }

    /// Returns the most queue pairs that a device can have of a function with so many queues.
    pub(crate) fn most_pairs(queues: usize) -> u16 {
        // CAST: the smaller of both.
        queues.min(VIRTIO_MAX_PAIRS.into()) as u16
    }

    /// Checks a device that was loaded into a function with so many queues.
    pub(crate) fn check(&self, queues: usize, vectors: u16) -> Result<(), LoadError> {
        let known = self.features == 0 || self.accepts(self.features);
        let spaces = usize::from(VIRTIO_ADDRESS_SPACES);
        let shape = self.queues.len() == 1 + 2 * usize::from(self.pairs)
            && self.spaces.len() == spaces
            && self.groups.len() == VirtioGroup::NAMED.len()
            && self.groups.iter().all(|space| usize::from(*space) < spaces)
            && [0, VLANS / 64].contains(&self.filter.vlans.len())
            && self.offloads & !self.features == 0;
        if !self.is_possible(Self::most_pairs(queues)) || !known || !shape {
            return Err(LoadError::Invalid("virtio device"));
        }
        let ready = self.queues.iter().flatten().count() > 0;
        if ready && self.status & status::FEATURES_OK == 0 {
            return Err(LoadError::Invalid("virtqueue"));
        }
        for (index, queue) in (0..).zip(&self.queues) {
            if let Some(queue) = queue {
                if self.role(index).is_none() {
                    return Err(LoadError::Invalid("virtqueue"));
                }
                queue.check(vectors, self.has(feature::RING_PACKED))?;
            }
        }
        self.steering.check(self.pairs)
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    /// Returns whether a driver may accept these features.
    fn accepts(&self, features: u64) -> bool {
        features & !self.offered == 0
            && features & NEEDED == NEEDED
            && DEPENDENCIES
                .iter()
                .all(|(feature, needs)| features & feature == 0 || features & needs != 0)
    }

    /// Returns whether queues work.
    pub(crate) fn runs(&self) -> bool {
        self.status & status::DRIVER_OK != 0 && !self.suspended
    }

    /// Returns the index of the control queue.
    fn control(&self) -> Option<u16> {
        let many = self.features & (feature::MQ | feature::RSS) != 0;
        self.has(feature::CTRL_VQ)
            .then_some(if many { 2 * self.pairs } else { 2 })
    }

    /// Returns what a queue is for, if there is one of this index.
    pub(crate) fn role(&self, index: u16) -> Option<Role> {
        let last = self.control().unwrap_or(2 * self.pairs);
        match index {
            index if Some(index) == self.control() => Some(Role::Control),
            index if index >= last => None,
            index if index % 2 == 0 => Some(Role::Rx(index / 2)),
            _ => Some(Role::Tx),
        }
    }

    /// Returns a queue that is ready.
    pub(crate) fn queue(&self, index: u16) -> Option<&Virtqueue> {
        self.queues.get(usize::from(index))?.as_deref()
    }

    /// Returns a queue that is ready, to change it.
    pub(crate) fn queue_mut(&mut self, index: u16) -> Option<&mut Virtqueue> {
        self.queues.get_mut(usize::from(index))?.as_deref_mut()
    }

    /// Returns an address space.
    pub(crate) fn space_mut(&mut self, space: U16) -> Result<&mut Space, Status> {
        self.spaces
            .get_mut(usize::from(space.get()))
            .ok_or(Status::INVALID_FIELD)
    }

    /// Puts a group into an address space.
    pub(crate) fn set_group(&mut self, group: U16, space: U16) -> Result<(), Status> {
        let place = self.groups.get_mut(usize::from(group.get()));
        match place {
            Some(place) if space.get() < VIRTIO_ADDRESS_SPACES => {
                *place = space.get();
                Ok(())
            }
            _ => Err(Status::INVALID_FIELD),
        }
    }

    /// Returns the address spaces of areas and of buffers of a queue, and the queue.
    fn parts(&mut self, index: u16) -> Option<(&Space, &Space, &mut Virtqueue)> {
        let (rings, data) = self.groups_of(index);
        let Self { queues, spaces, .. } = self;
        let queue = queues.get_mut(usize::from(index))?.as_deref_mut()?;
        Some((spaces.get(rings)?, spaces.get(data)?, queue))
    }

    /// Returns the numbers of the address spaces of areas and of buffers of a queue.
    fn groups_of(&self, index: u16) -> (usize, usize) {
        let space = |group: VirtioGroup| {
            let space = self.groups.get(usize::from(group.0));
            usize::from(space.copied().unwrap_or_default())
        };
        if Some(index) == self.control() {
            (space(VirtioGroup::CONTROL), space(VirtioGroup::CONTROL))
        } else {
            (space(VirtioGroup::RINGS), space(VirtioGroup::DATA))
        }
    }

    /// Returns the state as drivers ask for it.
    pub(crate) fn state(&self) -> VirtioState {
        VirtioState {
            features: U64::new(self.features),
            generation: U32::new(self.generation),
            control: U16::new(self.control().unwrap_or(VIRTIO_NO_QUEUE)),
            pairs: U16::new(self.steering.pairs()),
            status: self.status,
            suspended: self.suspended.into(),
            rsvd: [0; 2],
        }
    }

    /// Returns the generation of the configuration space.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the configuration space, of a port with this address and this link.
    pub(crate) fn config(&self, mac: Mac, (speed, up): (u32, bool)) -> NetConfig {
        let mut state = 0;
        if up {
            state |= spec::S_LINK_UP;
        }
        if self.announce {
            state |= spec::S_ANNOUNCE;
        }
        NetConfig {
            mac: mac.0,
            status: U16::new(state),
            max_virtqueue_pairs: U16::new(self.pairs),
            mtu: U16::new(self.mtu),
            speed: U32::new(speed),
            duplex: spec::DUPLEX_FULL,
            rss_max_key_size: steering::MAX_KEY,
            rss_max_indirection_table_length: U16::new(steering::MAX_TABLE),
            supported_hash_types: U32::new(spec::hash::ALL),
        }
    }

    /// Drops what waits in all queues, of which there are none then. Returns how many packets.
    pub(crate) fn drop_queues(&mut self, pool: &mut Pool) -> u64 {
        let mut dropped = 0;
        for place in &mut self.queues {
            if let Some(mut queue) = place.take() {
                dropped += queue.drop_waiting(pool);
            }
        }
        dropped
    }

    /// Counts what waits in the queues of a device that was loaded.
    pub(crate) fn adopt(&self, pool: &mut Pool) {
        for queue in self.queues.iter().flatten() {
            pool.adopt(&queue.waiting);
            pool.adopt_bytes(queue.held.bytes() + queue.datagrams.bytes());
        }
    }
}

impl Device {
    /// Returns the virtio-net device that a function is.
    pub(crate) fn virtio(&self, slot: Slot) -> Option<&Virtio> {
        self.function(slot)?.virtio.as_deref()
    }

    /// Returns the virtio-net device that a function is, to change it.
    pub(crate) fn virtio_mut(&mut self, slot: Slot) -> Option<&mut Virtio> {
        self.function_mut(slot)?.virtio.as_deref_mut()
    }

    /// Does something with memory as a queue of a virtio-net device sees it, while the queue is
    /// taken out of it.
    fn with_dma<R>(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        with: impl FnOnce(&mut Dma<'_, '_>) -> R,
    ) -> Option<R> {
        let virtio = self.state.functions[slot.index()]
            .as_deref()?
            .virtio
            .as_deref()?;
        let (rings, data) = virtio.groups_of(index);
        let mut bus = bus!(self, host, slot.pci());
        Some(with(&mut Dma {
            bus: &mut bus,
            rings: virtio.spaces.get(rings)?,
            data: virtio.spaces.get(data)?,
        }))
    }

    /// Makes a function a virtio-net device.
    pub(crate) fn create_virtio(&mut self, slot: Slot, virtio: Virtio) {
        let (mac, mtu) = (virtio.mac, virtio.mtu);
        if let Some(function) = self.function_mut(slot) {
            function.virtio = Some(Box::new(virtio));
        }
        self.change_port(slot, |port| {
            port.reset(mac);
            port.mtu = mtu;
        });
    }

    /// Makes a function what it was before it was a virtio-net device.
    pub(crate) fn destroy_virtio(&mut self, slot: Slot) {
        self.reset_virtio(slot);
        let Some(function) = self.function_mut(slot) else {
            return;
        };
        function.virtio = None;
        let mac = function.provision.mac;
        self.change_port(slot, |port| port.reset(mac));
    }

    /// Resets a virtio-net device, but for its mappings.
    pub(crate) fn reset_virtio(&mut self, slot: Slot) {
        self.work.remove(slot);
        self.pending.remove(slot);
        self.state.rates.stop(slot);
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Some(virtio) = function.virtio.as_deref_mut() else {
            return;
        };
        function.port.stats.rx_no_buffer += virtio.drop_queues(&mut self.pool);
        virtio.features = 0;
        virtio.status = 0;
        virtio.suspended = false;
        virtio.announce = false;
        virtio.groups.fill(0);
        virtio.steering = Steering::default();
        virtio.filter = Filter::new(0);
        virtio.offloads = 0;
        let (mac, mtu) = (virtio.mac, virtio.mtu);
        self.change_port(slot, |port| {
            port.reset(mac);
            port.mtu = mtu;
        });
    }

    /// Accepts features on behalf of the driver.
    pub(crate) fn set_virtio_features(&mut self, slot: Slot, features: u64) -> Result<(), Status> {
        let virtio = self.virtio_mut(slot).ok_or(Status::BAD_STATE)?;
        if virtio.status & status::FEATURES_OK != 0 {
            return Err(Status::BAD_STATE);
        }
        if !virtio.accepts(features) {
            return Err(Status::INVALID_FIELD);
        }
        virtio.features = features;
        virtio.filter = Filter::new(features);
        virtio.offloads = features & control::OFFLOADS;
        Ok(())
    }

    /// Sets the device status.
    pub(crate) fn set_virtio_status(&mut self, slot: Slot, new: u8) -> Result<(), Status> {
        if new == 0 {
            self.reset_virtio(slot);
            return Ok(());
        }
        let virtio = self.virtio_mut(slot).ok_or(Status::BAD_STATE)?;
        // Only the device says that it needs a reset, and it does until there was one.
        let needs = virtio.status & status::NEEDS_RESET;
        let new = new & !status::NEEDS_RESET | needs;
        let taken_back = virtio.status & !new != 0;
        let features = new & status::FEATURES_OK != 0;
        let driver = new & status::DRIVER_OK != 0;
        if taken_back || features && virtio.features == 0 || driver && !features {
            return Err(Status::INVALID_FIELD);
        }
        let starts = driver && virtio.status & status::DRIVER_OK == 0;
        virtio.status = new;
        if starts {
            // Who cannot ask for groups is given them all.
            virtio.filter.all[2] |= !virtio.has(feature::CTRL_RX);
            let mode = virtio.filter.mode();
            self.change_port(slot, |port| port.mode = mode);
            self.let_virtio_run(slot);
        }
        Ok(())
    }

    /// Opens the port if the device runs, and has the queues looked at.
    fn let_virtio_run(&mut self, slot: Slot) {
        let runs = self.virtio(slot).is_some_and(Virtio::runs);
        if let Some(function) = self.function_mut(slot) {
            function.port.open = runs;
        }
        if runs {
            self.look_at_queues(slot);
        }
    }

    /// Suspends or resumes a virtio-net device.
    pub(crate) fn suspend_virtio(&mut self, host: &mut dyn Host, slot: Slot, suspend: bool) {
        if suspend {
            self.publish_all_virtio(host, slot);
        }
        if let Some(virtio) = self.virtio_mut(slot) {
            virtio.suspended = suspend;
        }
        self.let_virtio_run(slot);
    }

    /// Makes a virtqueue ready.
    pub(crate) fn enable_virtqueue(
        &mut self,
        slot: Slot,
        command: &EnableVirtqueue,
    ) -> Result<(), Status> {
        let virtio = self.virtio_mut(slot).ok_or(Status::BAD_STATE)?;
        let index = command.index.get();
        if virtio.status & status::FEATURES_OK == 0 {
            return Err(Status::BAD_STATE);
        }
        virtio.role(index).ok_or(Status::INVALID_FIELD)?;
        let place = virtio
            .queues
            .get_mut(usize::from(index))
            .ok_or(Status::INVALID_FIELD)?;
        if place.is_some() {
            return Err(Status::IN_USE);
        }
        let queue = Virtqueue::new(command, virtio.features).ok_or(Status::INVALID_FIELD)?;
        *place = Some(Box::new(queue));
        self.look_at_queues(slot);
        Ok(())
    }

    /// Makes a virtqueue not ready any more. Returns where it stood.
    pub(crate) fn disable_virtqueue(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
    ) -> Result<VirtqueueState, Status> {
        self.publish_virtqueue(host, slot, index);
        let function = self.state.functions[slot.index()].as_deref_mut();
        let function = function.ok_or(Status::INVALID_FUNCTION)?;
        let place = function
            .virtio
            .as_deref_mut()
            .and_then(|virtio| virtio.queues.get_mut(usize::from(index)))
            .ok_or(Status::INVALID_FIELD)?;
        let mut queue = place.take().ok_or(Status::BAD_STATE)?;
        function.port.stats.rx_no_buffer += queue.drop_waiting(&mut self.pool);
        Ok(VirtqueueState {
            ready: 0,
            ..queue.state()
        })
    }

    /// Stops a virtqueue after an error, and says that the device needs a reset.
    fn break_virtqueue(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        syndrome: QueueSyndrome,
    ) {
        let kind = ferrite_abi::cmd::QueueKind::VIRTIO.0;
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Some(virtio) = function.virtio.as_deref_mut() else {
            return;
        };
        let Some(queue) = virtio.queue_mut(index) else {
            return;
        };
        queue.syndrome = syndrome;
        function.port.stats.rx_no_buffer += queue.drop_waiting(&mut self.pool);
        virtio.status |= status::NEEDS_RESET;
        host.trace(&Trace::QueueStopped {
            function: slot.id().0,
            kind,
            index,
            syndrome: syndrome.0,
        });
        let error = QueueError {
            kind: U16::new(kind),
            index: U16::new(index),
            syndrome: U16::new(syndrome.0),
            rsvd: [0; 2],
        };
        self.post_event(host, slot.pci(), slot.id(), error);
        self.tell_virtio(host, slot);
    }

    /// Takes note that the configuration space changed, and tells the driver.
    pub(crate) fn virtio_config_changed(&mut self, host: &mut dyn Host, slot: Slot) {
        if let Some(virtio) = self.virtio_mut(slot) {
            virtio.generation = virtio.generation.wrapping_add(1);
            self.tell_virtio(host, slot);
        }
    }

    /// Changes the address of a virtio-net device, for its driver to take note of.
    pub(crate) fn set_virtio_mac(&mut self, slot: Slot, mac: Mac) {
        if let Some(virtio) = self.virtio_mut(slot) {
            virtio.mac = mac;
            self.change_port(slot, |port| port.mac = mac);
        }
    }

    /// Asks the driver to announce itself.
    pub(crate) fn ask_for_announcement(&mut self, slot: Slot) -> Result<(), Status> {
        let virtio = self.virtio_mut(slot).ok_or(Status::BAD_STATE)?;
        if !virtio.has(feature::GUEST_ANNOUNCE) || virtio.status & status::DRIVER_OK == 0 {
            return Err(Status::BAD_STATE);
        }
        virtio.announce = true;
        Ok(())
    }

    /// Returns the bytes of the configuration space.
    pub(crate) fn virtio_config(&self, slot: Slot) -> Option<(u32, NetConfig)> {
        let function = self.function(slot)?;
        let virtio = function.virtio.as_deref()?;
        let config = virtio.config(function.port.mac, self.link_of(slot));
        debug_assert_eq!(config.as_bytes().len(), size_of::<NetConfig>());
        Some((virtio.generation(), config))
    }

    fn tell_virtio(&mut self, host: &mut dyn Host, slot: Slot) {
        if let Some(virtio) = self.virtio(slot) {
            let change = VirtioChange {
                generation: U32::new(virtio.generation),
                status: virtio.status,
                rsvd: [0; 3],
            };
            self.post_event(host, slot.pci(), slot.id(), change);
        }
    }
}
