// SPDX-License-Identifier: GPL-2.0

//! The event queue: [`crate::logic::eventq`] with memory and somebody to tell.

use core::mem::offset_of;
use ferrite_abi::{
    cmd::{
        CreateEventQueue,
        DestroyEventQueue,
        QueueKind, //
    },
    event::{
        Event,
        FunctionChange,
        HealthChange,
        PacketTrapped,
        Payload,
        QueueError,
        QueueSyndrome,
        Syndrome, //
    },
    ids::FunctionId,
    ring::{
        Depth,
        Index, //
    },
    wire::{
        U16,
        U32,
        U64, //
    },
};
use ferrite_aux::CmdError;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    impl_has_work, new_mutex, new_work,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    dma,
    work::{
        self,
        cancel_sync, //
    },
};

use crate::{
    adminq::AdminQueue,
    bar::Bar,
    functions::Functions,
    logic::{
        eventq::{
            self,
            EventCounters, //
        },
        port::EventRing, //
    },
    routes::Routes,
    trap::Traps, //
};

/// Number of entries, as a logarithm.
const DEPTH_LOG2: u8 = 7;

struct Ring(dma::Ring<Event>);

impl EventRing for Ring {
    fn event(&self, slot: usize) -> Event {
        // CAST: a slot is less than the depth of the ring.
        let slot = slot as u32;
        // ORDERING: acquires the rest of the entry, which the device writes before `meta`.
        let meta = self.0.load32::<{ offset_of!(Event, meta) }>(slot);
        let mut event = self.0.read(slot);
        event.meta = U32::new(meta);
        event
    }
}

/// The event queue of a PCI function. It runs while there is an [`Enabled`].
#[pin_data]
pub(crate) struct EventQueue {
    device: ARef<Device>,
    bar: Bar,
    ring: Ring,
    /// The function whose queue it is.
    function: FunctionId,
    /// Whose clients are told.
    routes: Arc<Routes>,
    /// Who is told of changes of functions, on a PF.
    functions: Option<Arc<Functions>>,
    /// Who is told of packets that were dropped, on a PF.
    traps: Option<Arc<Traps>>,
    #[pin]
    queue: Mutex<eventq::EventQueue>,
    #[pin]
    work: Work<EventQueue>,
}

impl_has_work! {
    impl HasWork<Self> for EventQueue { self.work }
}

impl EventQueue {
    /// Allocates the queue of `function`; events about those in `routes` go to their clients.
    pub(crate) fn new(
        parent: &Device<Bound>,
        bar: Bar,
        function: FunctionId,
        routes: Arc<Routes>,
        functions: Option<Arc<Functions>>,
        traps: Option<Arc<Traps>>,
    ) -> Result<Arc<Self>> {
        let depth = Depth::from_log2(DEPTH_LOG2).ok_or(EINVAL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                device: parent.into(),
                bar,
                ring: Ring(dma::Ring::new(parent, depth.entries())?),
                function,
                routes,
                functions,
                traps,
                queue <- new_mutex!(eventq::EventQueue::new(depth), "ferrite_eventq"),
                work <- new_work!("ferrite_events"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has events passed on soon, if there are any. May be called in any context.
    ///
    /// Not at once: those who are told may send admin commands, and the caller is who takes in the
    /// answers.
    pub(crate) fn kick(self: &Arc<Self>) {
        // If it is queued already, it will find what there is.
        let _ = work::queue().enqueue(self.clone());
    }

    /// Returns depth, head, and counters.
    pub(crate) fn inspect(&self) -> (u32, u32, EventCounters) {
        let queue = self.queue.lock();
        (queue.depth().entries(), queue.head().0, *queue.counters())
    }

    /// Returns the address of the ring for the device.
    pub(crate) fn bus(&self) -> u64 {
        self.ring.0.dma_address()
    }

    /// Forgets what was read: the device starts over.
    fn clear(&self) {
        let mut queue = self.queue.lock();
        let depth = queue.depth();
        for index in 0..depth.entries() {
            self.ring.0.write(index, &Event::default());
        }
        *queue = eventq::EventQueue::new(depth);
    }

    fn next(&self) -> Option<Event> {
        let mut queue = self.queue.lock();
        let event = queue.next(&self.ring)?;
        queue.acknowledge(&self.bar);
        Some(event)
    }

    fn dispatch(&self, event: &Event) {
        if let Some(HealthChange { syndrome }) = event.payload() {
            match Syndrome(syndrome.get()) {
                Syndrome::NONE => dev_info!(self.device, "device reports that it is well\n"),
                syndrome => dev_err!(self.device, "device reports {syndrome:?}\n"),
            }
        }
        if let Some(QueueError {
            kind,
            index,
            syndrome,
            ..
        }) = event.payload()
        {
            let (kind, index) = (QueueKind(kind.get()), index.get());
            let syndrome = QueueSyndrome(syndrome.get());
            dev_warn!(
                self.device,
                "{kind:?} queue {index} stopped: {syndrome:?}
"
            );
        }
        if let (Some(PacketTrapped { .. }), Some(traps)) = (event.payload(), &self.traps) {
            traps.kick();
        }
        match (event.payload::<FunctionChange>(), &self.functions) {
            // Clients make such changes, or are about to go because of them.
            (Some(change), Some(functions)) if event.function.get() != self.function.0 => {
                functions.note(event, change);
            }
            _ => self.routes.deliver(event),
        }
    }

    fn lost(&self) -> u64 {
        self.queue.lock().counters().lost
    }
}

impl WorkItem for EventQueue {
    type Pointer = Arc<EventQueue>;

    fn run(this: Arc<EventQueue>) {
        let lost = this.lost();
        while let Some(event) = this.next() {
            this.dispatch(&event);
        }
        if this.lost() != lost {
            if let Some(functions) = &this.functions {
                functions.ask_anew();
                this.routes.look_anew();
            }
            if let Some(traps) = &this.traps {
                traps.kick();
            }
        }
    }
}

/// The event queue runs while this lives.
pub(crate) struct Enabled {
    queue: Arc<EventQueue>,
    admin: Arc<AdminQueue>,
    function: FunctionId,
    command: CreateEventQueue,
}

impl Enabled {
    /// Has the device write events to `queue`, and raise `vector` after that.
    pub(crate) fn new(
        queue: Arc<EventQueue>,
        admin: Arc<AdminQueue>,
        function: FunctionId,
        vector: u16,
    ) -> Result<Self, CmdError> {
        let command = CreateEventQueue {
            ring_addr: U64::new(queue.bus()),
            vector: U16::new(vector),
            depth_log2: DEPTH_LOG2,
            rsvd: [0; 5],
        };
        match admin.send(function, command) {
            Err(error @ CmdError::Status(_)) => Err(error),
            // A device that does not answer may know the ring all the same: drop it with care.
            outcome => {
                let enabled = Self {
                    queue,
                    admin,
                    function,
                    command,
                };
                outcome.map(|()| enabled)
            }
        }
    }

    /// Has the device write events again after the function was reset.
    pub(crate) fn renew(&self) -> Result<(), CmdError> {
        self.queue.clear();
        self.admin.send(self.function, self.command)
    }

    /// Tells the clients something that the device does not say itself.
    pub(crate) fn say<P: Payload>(&self, payload: P) {
        let depth = self.queue.queue.lock().depth();
        self.queue
            .dispatch(&Event::new(self.function, payload, depth, Index(0), 0));
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // If it fails, that is in the log, and the reset of the function that follows does it.
        let _ = self.admin.send(self.function, DestroyEventQueue {});
        cancel_sync(&self.queue);
    }
}
