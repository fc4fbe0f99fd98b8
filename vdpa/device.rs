// SPDX-License-Identifier: GPL-2.0

//! The vDPA device: each operation is a command or two.

use crate::{
    health::Nurse,
    queue::Queue, //
};
use ferrite_abi::{
    bar::Doorbell,
    cmd::{
        MapVirtio,
        QueryVirtioDone,
        QueryVirtioState,
        QueryVirtqueue,
        QueryVirtqueueStats,
        ReadVirtioConfig,
        SetVirtioFeatures,
        SetVirtioGroup,
        SetVirtioStatus,
        SuspendVirtio,
        SwitchVirtioMap,
        VirtioAccess,
        VirtioGroup,
        VirtioMap,
        VirtioMapping,
        VirtioMappings,
        VirtioStage,
        VirtioState,
        VirtqueueStats,
        VIRTIO_ADDRESS_SPACES,
        VIRTIO_MAPPINGS,
        VIRTIO_NO_QUEUE, //
    },
    event::{
        Event,
        EventKind, //
    },
    ids::PCI_VENDOR,
    wire::{
        U16,
        U32,
        U64, //
    },
};
use ferrite_aux::{
    EventHandler,
    Function, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use kernel_ext::vdpa::{
    Areas,
    Callback,
    Iotlb,
    Mapped,
    Operations,
    StatsMessage,
    VqState, //
};
use zerocopy::FromZeros;

/// Entries that a queue has unless a user wants another number.
const DEFAULT_SIZE: u16 = 256;
/// Bit of the feature for packed queues.
const RING_PACKED: u64 = 1 << 34;
/// Bits of vhost for what this driver can do beyond the least: suspend and resume, queues that become
/// ready late, an address space for rings, and mappings that
/// outlive a reset.
const BACKEND_FEATURES: u64 = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8;
/// The status of a device that does not answer: it needs a reset.
const NEEDS_RESET: u8 = 0x40;

/// Whom to call when the configuration changed.
#[pin_data]
pub(crate) struct ConfigCallback {
    #[pin]
    callback: Mutex<Option<Callback>>,
}

impl ConfigCallback {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            callback <- new_mutex!(None, "ferrite_vdpa_config"),
        }? Error)
    }

    fn set(&self, callback: Option<Callback>) {
        *self.callback.lock() = callback;
    }
}

/// Takes the events of the function.
pub(crate) struct Events {
    pub(crate) config: Arc<ConfigCallback>,
    pub(crate) nurse: Arc<Nurse>,
}

impl EventHandler for Events {
    fn event(&self, event: &Event) {
        let kind = EventKind(event.kind.get());
        if [EventKind::VIRTIO_CHANGE, EventKind::HEALTH_CHANGE].contains(&kind) {
            if let Some(callback) = &*self.config.callback.lock() {
                callback.call();
            }
        }
        if let Some(error) = event.payload() {
            self.nurse.stopped(error);
        }
    }
}

/// What changes.
struct State {
    queues: KVec<Queue>,
    /// Features that were accepted.
    features: u64,
    /// What is mapped for each address space.
    mapped: [Option<Mapped>; VIRTIO_ADDRESS_SPACES as usize],
}

/// How a queue does.
pub(crate) struct Look {
    pub(crate) index: u16,
    pub(crate) ready: bool,
    /// The device stopped it, and nobody has made it ready again.
    pub(crate) stopped: bool,
}

/// The queues of a vDPA device, and what else of it changes.
#[pin_data]
pub(crate) struct Queues {
    #[pin]
    state: Mutex<State>,
}

impl Queues {
    fn new(state: State) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { state <- new_mutex!(state, "ferrite_vdpa") }),
            GFP_KERNEL,
        )
    }

    /// Takes note that the device stopped a queue.
    pub(crate) fn note_stopped(&self, index: u16) {
        if let Some(queue) = self.state.lock().queues.get_mut(usize::from(index)) {
            queue.stopped = true;
        }
    }

    /// Tells how the queues do.
    pub(crate) fn looks(&self) -> Result<KVec<Look>> {
        let state = self.state.lock();
        let mut looks = KVec::with_capacity(state.queues.len(), GFP_KERNEL)?;
        for (index, queue) in (0..).zip(&state.queues) {
            let (ready, stopped) = (queue.ready, queue.stopped);
            let look = Look {
                index,
                ready,
                stopped,
            };
            looks.push(look, GFP_KERNEL)?;
        }
        Ok(looks)
    }

    /// Makes the queues ready again that the device stopped, where they stood.
    pub(crate) fn mend(&self, function: &Function) -> Result {
        let mut state = self.state.lock();
        let start = Net::start(state.features);
        for (index, queue) in (0..).zip(&mut state.queues) {
            if core::mem::take(&mut queue.stopped) && queue.ready {
                queue.disable(function, index)?;
                queue.enable(function, index, start)?;
                // What came meanwhile.
                function.ring(Doorbell::Virtio(index));
            }
        }
        Ok(())
    }
}

/// A vDPA device.
pub(crate) struct Net {
    function: Function,
    /// Features that are offered.
    offered: u64,
    config_size: usize,
    max_size: u16,
    callback: Arc<ConfigCallback>,
    queues: Arc<Queues>,
}

impl Net {
    pub(crate) fn new(
        function: Function,
        able: &QueryVirtioDone,
        offered: u64,
        queues: u32,
        callback: Arc<ConfigCallback>,
    ) -> Result<Self> {
        let mut all = KVec::with_capacity(queues as usize, GFP_KERNEL)?;
        for _ in 0..queues {
            all.push(Queue::default(), GFP_KERNEL)?;
        }
        let state = State {
            queues: all,
            features: 0,
            mapped: [const { None }; VIRTIO_ADDRESS_SPACES as usize],
        };
        Ok(Self {
            function,
            offered,
            config_size: able.config_size.get().into(),
            max_size: able.max_size.get(),
            callback,
            queues: Queues::new(state)?,
        })
    }

    /// Returns its queues.
    pub(crate) fn queues(&self) -> Arc<Queues> {
        self.queues.clone()
    }

    /// Lets go of all that the device had, as nobody uses it any more.
    pub(crate) fn shut_down(&self) {
        let _ = self.reset(true);
    }

    /// Does something with a queue.
    fn with<R>(&self, index: u16, with: impl FnOnce(&mut Queue) -> Result<R>) -> Result<R> {
        let mut state = self.queues.state.lock();
        with(state.queues.get_mut(usize::from(index)).ok_or(EINVAL)?)
    }

    /// Does something with a queue that cannot tell of failure to who asked for it.
    fn with_or_log(&self, index: u16, what: &str, with: impl FnOnce(&mut Queue) -> Result) {
        if let Err(error) = self.with(index, with) {
            pr_err!(
                "function {:#x}: {what} of virtqueue {index}: {error:?}\n",
                self.function.id().0
            );
        }
    }

    fn virtio(&self) -> Option<VirtioState> {
        self.function.send(QueryVirtioState {}).ok()
    }

    fn is_control(&self, index: u16) -> bool {
        let control = self
            .virtio()
            .map_or(VIRTIO_NO_QUEUE, |state| state.control.get());
        index == control
    }

    fn send_status(&self, status: u8) -> Result {
        let rsvd = [0; 3];
        Ok(self.function.send(SetVirtioStatus { status, rsvd })?)
    }

    fn send_suspend(&self, suspend: u8) -> Result {
        let rsvd = [0; 3];
        Ok(self.function.send(SuspendVirtio { suspend, rsvd })?)
    }

    fn switch(&self, space: u32, map: VirtioMap) -> Result {
        // CAST: the core checks the number.
        let space = U16::new(space as u16);
        let map = U16::new(map.0);
        Ok(self.function.send(SwitchVirtioMap { space, map })?)
    }

    /// Where a queue begins that is new.
    fn start(features: u64) -> (u16, u16) {
        if features & RING_PACKED != 0 {
            (1 << 15, 1 << 15)
        } else {
            (0, 0)
        }
    }
}

/// Mappings on their way to the device, as many as a command carries.
struct Batch<'a> {
    function: &'a Function,
    space: u16,
    data: KBox<VirtioMappings>,
    count: usize,
    stage: VirtioStage,
}

impl Batch<'_> {
    fn push(&mut self, mapping: VirtioMapping) -> Result {
        if self.count == VIRTIO_MAPPINGS {
            self.send()?;
        }
        *self.data.entries.get_mut(self.count).ok_or(EINVAL)? = mapping;
        self.count += 1;
        Ok(())
    }

    fn send(&mut self) -> Result {
        let command = MapVirtio {
            space: U16::new(self.space),
            // CAST: no more than `VIRTIO_MAPPINGS`.
            count: U16::new(self.count as u16),
            stage: self.stage.0,
            rsvd: [0; 3],
        };
        self.function.send_with(command, &*self.data)?;
        (self.count, self.stage) = (0, VirtioStage::MORE);
        Ok(())
    }
}

impl Operations for Net {
    const VQ_ALIGN: u32 = 4096;
    const DEVICE_ID: u32 = 1;
    const VENDOR_ID: u32 = PCI_VENDOR as u32;
    const GROUPS: u32 = VirtioGroup::NAMED.len() as u32;
    const ADDRESS_SPACES: u32 = VIRTIO_ADDRESS_SPACES as u32;

    fn set_vq_address(&self, index: u16, areas: Areas) -> Result {
        self.with(index, |queue| {
            queue.areas = areas;
            Ok(())
        })
    }

    fn set_vq_num(&self, index: u16, num: u32) {
        self.with_or_log(index, "size", |queue| {
            queue.size = u16::try_from(num)?;
            Ok(())
        });
    }

    fn kick_vq(&self, index: u16) {
        self.function.ring(Doorbell::Virtio(index));
    }

    fn kick_vq_with_data(&self, data: u32) {
        // CAST: the low half is the index; the device does not need the rest.
        self.function.ring(Doorbell::Virtio(data as u16));
    }

    fn set_vq_callback(&self, index: u16, callback: Option<Callback>) {
        self.with_or_log(index, "callback", |queue| {
            queue.set_callback(&self.function, index, callback)
        });
    }

    fn set_vq_ready(&self, index: u16, ready: bool) {
        let start = Self::start(self.driver_features());
        self.with_or_log(index, "state", |queue| match (queue.ready, ready) {
            (false, true) => queue.enable(&self.function, index, start),
            (true, false) => Ok(queue.disable(&self.function, index)?),
            _ => Ok(()),
        });
    }

    fn vq_ready(&self, index: u16) -> bool {
        self.with(index, |queue| Ok(queue.ready)).unwrap_or(false)
    }

    fn set_vq_state(&self, index: u16, state: VqState) -> Result {
        let packed = self.driver_features() & RING_PACKED != 0;
        self.with(index, |queue| {
            if queue.ready {
                return Err(EBUSY);
            }
            let avail = state.avail_index();
            queue.position = Some(if packed {
                state.positions()
            } else {
                (avail, avail)
            });
            Ok(())
        })
    }

    fn vq_state(&self, index: u16) -> Result<VqState> {
        let features = self.driver_features();
        let (avail, used) = self.with(index, |queue| {
            if !queue.ready {
                return Ok(queue.position.unwrap_or(Self::start(features)));
            }
            let query = QueryVirtqueue {
                index: U16::new(index),
                rsvd: [0; 2],
            };
            let state = self.function.send(query)?;
            Ok((state.avail.get(), state.used.get()))
        })?;
        Ok(if features & RING_PACKED != 0 {
            VqState::packed(avail, used)
        } else {
            VqState::split(avail)
        })
    }

    fn vq_stats(&self, index: u16, message: &mut StatsMessage) -> Result {
        let query = QueryVirtqueueStats {
            index: U16::new(index),
            rsvd: [0; 2],
        };
        let (_, stats) = self.function.fetch(query)?;
        for (name, value) in VirtqueueStats::NAMES.iter().zip(stats.values()) {
            let name = kernel::str::CString::try_from_fmt(fmt!("{name}"))?;
            message.put(&name, value)?;
        }
        Ok(())
    }

    fn vq_irq(&self, index: u16) -> Option<u32> {
        self.with(index, |queue| Ok(queue.irq())).ok().flatten()
    }

    fn vq_size(&self, index: u16) -> u16 {
        let size = self.with(index, |queue| Ok(queue.size)).unwrap_or(0);
        if size == 0 {
            DEFAULT_SIZE
        } else {
            size
        }
    }

    fn vq_group(&self, index: u16) -> u32 {
        if self.is_control(index) {
            VirtioGroup::CONTROL.0.into()
        } else {
            VirtioGroup::DATA.0.into()
        }
    }

    fn vq_desc_group(&self, index: u16) -> u32 {
        if self.is_control(index) {
            VirtioGroup::CONTROL.0.into()
        } else {
            VirtioGroup::RINGS.0.into()
        }
    }

    fn device_features(&self) -> u64 {
        self.offered
    }

    fn backend_features(&self) -> u64 {
        BACKEND_FEATURES
    }

    fn set_driver_features(&self, features: u64) -> Result {
        let command = SetVirtioFeatures {
            features: U64::new(features),
        };
        self.function.send(command)?;
        self.queues.state.lock().features = features;
        Ok(())
    }

    fn driver_features(&self) -> u64 {
        self.queues.state.lock().features
    }

    fn set_config_callback(&self, callback: Option<Callback>) {
        self.callback.set(callback);
    }

    fn vq_num_max(&self) -> u16 {
        self.max_size
    }

    fn status(&self) -> u8 {
        self.virtio().map_or(NEEDS_RESET, |state| state.status)
    }

    fn set_status(&self, status: u8) {
        if let Err(error) = self.send_status(status) {
            pr_err!(
                "function {:#x}: status {status:#x}: {error:?}\n",
                self.function.id().0
            );
        }
    }

    fn reset(&self, clean_map: bool) -> Result {
        let result = self.send_status(0);
        self.callback.set(None);
        let mut state = self.queues.state.lock();
        state.features = 0;
        for queue in &mut state.queues {
            queue.reset();
        }
        drop(state);
        result?;
        if clean_map {
            for space in 0..Self::ADDRESS_SPACES {
                self.reset_map(space)?;
            }
        }
        Ok(())
    }

    fn suspend(&self) -> Result {
        self.send_suspend(1)
    }

    fn resume(&self) -> Result {
        self.send_suspend(0)
    }

    fn config_size(&self) -> usize {
        self.config_size
    }

    fn config(&self, offset: usize, buffer: &mut [u8]) {
        buffer.fill(0);
        if let Ok((_, config)) = self.function.fetch(ReadVirtioConfig {}) {
            let from = config.bytes.get(offset..).unwrap_or_default();
            for (to, from) in buffer.iter_mut().zip(from) {
                *to = *from;
            }
        }
    }

    fn generation(&self) -> u32 {
        self.virtio().map_or(0, |state| state.generation.get())
    }

    fn set_map(&self, space: u32, iotlb: &Iotlb) -> Result {
        let place = usize::try_from(space)?;
        let mut batch = Batch {
            function: &self.function,
            // CAST: the core checks the number.
            space: space as u16,
            data: KBox::new(VirtioMappings::new_zeroed(), GFP_KERNEL)?,
            count: 0,
            stage: VirtioStage::FIRST,
        };
        let mapped = {
            let device = self.function.dma_device()?;
            Mapped::new(&device, iotlb, |mapping, addr| {
                let read = if mapping.read {
                    VirtioAccess::READ.0
                } else {
                    0
                };
                let write = if mapping.write {
                    VirtioAccess::WRITE.0
                } else {
                    0
                };
                batch.push(VirtioMapping {
                    iova: U64::new(mapping.iova),
                    length: U64::new(mapping.length),
                    addr: U64::new(addr),
                    access: U32::new(read | write),
                    rsvd: [0; 4],
                })
            })?
        };
        batch.send()?;
        let mut state = self.queues.state.lock();
        let old = state.mapped.get_mut(place).ok_or(EINVAL)?;
        // What was mapped before stays so until the device does not use it any more.
        self.switch(space, VirtioMap::STAGED)?;
        *old = Some(mapped);
        Ok(())
    }

    fn reset_map(&self, space: u32) -> Result {
        let place = usize::try_from(space)?;
        let mut state = self.queues.state.lock();
        let old = state.mapped.get_mut(place).ok_or(EINVAL)?;
        self.switch(space, VirtioMap::IDENTITY)?;
        *old = None;
        Ok(())
    }

    fn set_group_space(&self, group: u32, space: u32) -> Result {
        let (group, space) = (u16::try_from(group)?, u16::try_from(space)?);
        let (group, space) = (U16::new(group), U16::new(space));
        Ok(self.function.send(SetVirtioGroup { group, space })?)
    }
}
