// SPDX-License-Identifier: GPL-2.0

//! Packet traps: what the switch drops, by the cause, handed to users who want to see it.

use ferrite_abi::{
    cmd::{
        QueryTraps,
        ReadTrapped,
        ReadTrappedDone,
        SetTrap,
        SetTrapPolicer,
        TrapAction,
        TrapCause,
        TrapStats,
        TrappedPacket,
        MAX_TRAPPED,
        TRAP_POLICERS,
        UPLINK, //
    },
    ids::FunctionId,
    wire::{
        U16,
        U32, //
    },
};
use ferrite_aux::CmdError;
use kernel::{
    impl_has_work, new_mutex, new_work,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    devlink::{
        self,
        ExtAck,
        TrapGroup,
        TrapPolicer,
        TrapReason, //
    },
    work::{
        self,
        cancel_sync, //
    },
};
use zerocopy::FromZeros;

use crate::{
    adminq::AdminQueue,
    functions::Functions,
    port::failed, //
};

/// A sender that does as if it was another.
const SPOOFED: TrapReason = TrapReason::own(0, c"source_mac_spoofed");

/// Causes, by their number, and what users know them as.
const TRAPS: [(TrapCause, TrapReason, TrapGroup); 7] = [
    (
        TrapCause::VLAN_MISMATCH,
        TrapReason::VLAN_TAG_MISMATCH,
        TrapGroup::L2_DROPS,
    ),
    (
        TrapCause::VLAN_FILTER,
        TrapReason::INGRESS_VLAN_FILTER,
        TrapGroup::L2_DROPS,
    ),
    (
        TrapCause::DESTINATION,
        TrapReason::DMAC_FILTER,
        TrapGroup::L2_DROPS,
    ),
    (
        TrapCause::NO_RECEIVER,
        TrapReason::EMPTY_TX_LIST,
        TrapGroup::L2_DROPS,
    ),
    (
        TrapCause::SAME_PORT,
        TrapReason::PORT_LOOPBACK_FILTER,
        TrapGroup::L2_DROPS,
    ),
    (TrapCause::SPOOFED, SPOOFED, TrapGroup::L2_DROPS),
    (
        TrapCause::RULE,
        TrapReason::INGRESS_FLOW_ACTION_DROP,
        TrapGroup::ACL_DROPS,
    ),
];

const _: () = {
    let mut index = 0;
    while index < TRAPS.len() {
        assert!(TRAPS[index].0 .0 as usize == index);
        index += 1;
    }
    assert!(TRAPS.len() == TrapCause::NAMED.len());
};

/// Groups, and the policer of each to begin with.
pub(crate) const GROUPS: [(TrapGroup, u32); 2] =
    [(TrapGroup::L2_DROPS, 1), (TrapGroup::ACL_DROPS, 2)];

/// The policers of the device.
pub(crate) fn policers() -> [TrapPolicer; TRAP_POLICERS as usize] {
    core::array::from_fn(|index| TrapPolicer {
        // CAST: there are few.
        id: index as u32 + 1,
        rate: 1000,
        burst: 128,
        max_rate: u32::MAX.into(),
        max_burst: u32::MAX.into(),
    })
}

/// Returns what users know the causes as.
pub(crate) fn reasons() -> [(TrapReason, TrapGroup); TRAPS.len()] {
    TRAPS.map(|(_, reason, group)| (reason, group))
}

/// What users set.
#[derive(Clone, Copy)]
struct Settings {
    trapped: [bool; TRAPS.len()],
    /// The policer of each group, 0 for none.
    policers: [u16; GROUPS.len()],
    /// What each policer lets through, a second and at once.
    limits: [(u32, u32); TRAP_POLICERS as usize],
}

/// The traps of a device.
#[pin_data]
pub(crate) struct Traps {
    admin: Arc<AdminQueue>,
    functions: Arc<Functions>,
    /// The PF, and its port, which is that of the uplink.
    own: FunctionId,
    #[pin]
    uplink: Mutex<Option<Arc<devlink::Port>>>,
    #[pin]
    settings: Mutex<Settings>,
    /// What devlink is told by.
    #[pin]
    registered: Mutex<Option<devlink::Traps>>,
    #[pin]
    work: Work<Traps>,
}

impl_has_work! {
    impl HasWork<Self> for Traps { self.work }
}

impl Traps {
    pub(crate) fn new(
        admin: Arc<AdminQueue>,
        functions: Arc<Functions>,
        own: FunctionId,
    ) -> Result<Arc<Self>> {
        let settings = Settings {
            trapped: [false; TRAPS.len()],
            // CAST: small numbers.
            policers: GROUPS.map(|(_, policer)| policer as u16),
            // CAST: as above.
            limits: policers().map(|policer| (policer.rate as u32, policer.burst as u32)),
        };
        Arc::pin_init(
            pin_init!(Self {
                admin,
                functions,
                own,
                uplink <- new_mutex!(None, "ferrite_trap_uplink"),
                settings <- new_mutex!(settings, "ferrite_traps"),
                registered <- new_mutex!(None, "ferrite_traps_registered"),
                work <- new_work!("ferrite_traps"),
            }),
            GFP_KERNEL,
        )
    }

    /// Tells users of packets by `registered`, until what is returned is dropped.
    pub(crate) fn report_to(
        self: &Arc<Self>,
        registered: devlink::Traps,
        uplink: Arc<devlink::Port>,
    ) -> Reporting {
        *self.uplink.lock() = Some(uplink);
        *self.registered.lock() = Some(registered);
        Reporting(self.clone())
    }

    /// Has packets that wait taken soon.
    pub(crate) fn kick(self: &Arc<Self>) {
        // If it is queued already, it takes all that there are.
        let _ = work::queue().enqueue(self.clone());
    }

    /// Sends the device what holds for a cause.
    fn order(&self, settings: &Settings, index: usize) -> Result<(), CmdError> {
        let (cause, _, group) = TRAPS[index];
        let of_group = GROUPS.iter().position(|(known, _)| *known == group);
        let action = if settings.trapped[index] {
            TrapAction::TRAP
        } else {
            TrapAction::DROP
        };
        self.admin.send(
            self.own,
            SetTrap {
                cause: U16::new(cause.0),
                action: U16::new(action.0),
                policer: U16::new(of_group.map_or(0, |group| settings.policers[group])),
                rsvd: [0; 2],
            },
        )
    }

    fn order_policer(&self, settings: &Settings, index: usize) -> Result<(), CmdError> {
        let (rate, burst) = settings.limits[index];
        self.admin.send(
            self.own,
            SetTrapPolicer {
                // CAST: there are few.
                policer: U16::new(index as u16 + 1),
                rsvd: [0; 2],
                rate: U32::new(rate),
                burst: U32::new(burst),
            },
        )
    }

    /// Tells the device all that users set, after it was reset. What it does not take, the log tells of.
    pub(crate) fn restore(&self) {
        let settings = *self.settings.lock();
        for index in 0..settings.limits.len() {
            let _ = self.order_policer(&settings, index);
        }
        for (index, trapped) in settings.trapped.iter().enumerate() {
            if *trapped {
                let _ = self.order(&settings, index);
            }
        }
    }

    /// Changes what users set, and has the device do it by `order`; all stays as it was if it does not.
    fn change(
        &self,
        extack: &mut ExtAck<'_>,
        change: impl FnOnce(&mut Settings) -> Result,
        order: impl FnOnce(&Self, &Settings) -> Result<(), CmdError>,
    ) -> Result {
        let mut settings = self.settings.lock();
        let mut changed = *settings;
        change(&mut changed)?;
        order(self, &changed)
            .map_err(|error| failed(extack, "the device does not do it", error))?;
        *settings = changed;
        Ok(())
    }

    /// Hands the packets of a trap to users, or not.
    pub(crate) fn set(&self, trap: u16, trapped: bool, extack: &mut ExtAck<'_>) -> Result {
        let index = index_of(trap)?;
        self.change(
            extack,
            |settings| {
                settings.trapped[index] = trapped;
                Ok(())
            },
            |this, settings| this.order(settings, index),
        )
    }

    /// Limits a group by a policer, 0 for none.
    pub(crate) fn set_group(&self, group: u16, policer: u32, extack: &mut ExtAck<'_>) -> Result {
        let of_group = GROUPS.iter().position(|(known, _)| known.is(group));
        let of_group = of_group.ok_or(ENOENT)?;
        let (group, _) = GROUPS[of_group];
        self.change(
            extack,
            |settings| {
                settings.policers[of_group] = u16::try_from(policer)?;
                Ok(())
            },
            |this, settings| {
                let mut members = (0..TRAPS.len()).filter(|index| TRAPS[*index].2 == group);
                members.try_for_each(|index| this.order(settings, index))
            },
        )
    }

    /// Sets what a policer lets through.
    pub(crate) fn set_policer(
        &self,
        policer: u32,
        rate: u64,
        burst: u64,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let index = (policer as usize).checked_sub(1).ok_or(ENOENT)?;
        self.change(
            extack,
            |settings| {
                let limits = settings.limits.get_mut(index).ok_or(ENOENT)?;
                *limits = (u32::try_from(rate)?, u32::try_from(burst)?);
                Ok(())
            },
            |this, settings| this.order_policer(settings, index),
        )
    }

    fn stats(&self) -> Result<TrapStats, CmdError> {
        let mut stats = TrapStats::new_zeroed();
        self.admin.fetch(self.own, QueryTraps {}, &mut stats)?;
        Ok(stats)
    }

    /// Returns how many packets of a trap nobody was handed.
    pub(crate) fn drops(&self, trap: u16) -> Result<u64> {
        let index = index_of(trap)?;
        Ok(self.stats()?.dropped[index].get())
    }

    /// Returns how many packets a policer dropped.
    pub(crate) fn policer_drops(&self, policer: u32) -> Result<u64> {
        let index = (policer as usize).checked_sub(1).ok_or(ENOENT)?;
        let stats = self.stats()?;
        Ok(stats.policed.get(index).ok_or(ENOENT)?.get())
    }

    /// Returns the port that a packet is of.
    fn port(&self, id: u16) -> Option<Arc<devlink::Port>> {
        if id == UPLINK || id == self.own.0 {
            return self.uplink.lock().clone();
        }
        self.functions.find(FunctionId(id))?.port()
    }

    /// Tells users of a packet.
    fn tell(&self, done: ReadTrappedDone, packet: &TrappedPacket) {
        let length = usize::from(done.length.get()).min(packet.bytes.len());
        // The device may say anything.
        let Some((_, reason, _)) = TRAPS.get(usize::from(done.cause.get())) else {
            return;
        };
        let port = self.port(done.port.get());
        if let Some(registered) = &*self.registered.lock() {
            registered.report(*reason, &packet.bytes[..length], port.as_deref());
        }
    }
}

/// Returns the place of the trap that devlink knows by this number.
fn index_of(trap: u16) -> Result<usize> {
    let mut traps = TRAPS.iter();
    traps
        .position(|(_, reason, _)| reason.is(trap))
        .ok_or(ENOENT)
}

impl WorkItem for Traps {
    type Pointer = Arc<Traps>;

    fn run(this: Arc<Traps>) {
        let Ok(mut packet) = KBox::new(TrappedPacket::new_zeroed(), GFP_KERNEL) else {
            return;
        };
        // No more at a time than may wait: the work is cancelled between two runs.
        for _ in 0..MAX_TRAPPED {
            match this.admin.fetch(this.own, ReadTrapped {}, &mut packet) {
                Ok(done) => {
                    this.tell(done, &packet);
                    if done.left.get() == 0 {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        this.kick();
    }
}

/// Users are told of packets for as long as this lives.
pub(crate) struct Reporting(Arc<Traps>);

impl Drop for Reporting {
    fn drop(&mut self) {
        let registered = self.0.registered.lock().take();
        drop(registered);
        self.0.uplink.lock().take();
        while cancel_sync(&self.0) {}
    }
}
