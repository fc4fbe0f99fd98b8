// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to send: queues of functions that share by rates wait for it.

use ferrite_abi::desc::{
    TxDesc,
    TxFlags, //
};
use ferrite_abi::event::QueueSyndrome;

use crate::bus::bus;
use crate::device::{
    bits,
    Device, //
};
use crate::host::Host;
use crate::packet::{
    vlan,
    ETH_HEADER,
    VLAN_TAG, //
};
use crate::rates::Pick;
use crate::slot::Slot;
use crate::timers::Timer;

/// Bytes after which it is another's turn.
const TURN_BYTES: u64 = 16 * 1024;

impl Device {
    /// Looks at the queues that have work, slot by slot, until the budget is spent. Returns whether
    /// there is more to do.
    pub(crate) fn run_queues(&mut self, host: &mut dyn Host, budget: u32) -> bool {
        let mut spent = 0u32;
        while spent < budget {
            let plain = self.serve_next(host);
            let rated = self.serve_rated(host);
            let (None, None) = (plain, rated) else {
                spent = spent.saturating_add(plain.unwrap_or(0) + rated.unwrap_or(0));
                continue;
            };
            break;
        }
        let pick = self.state.rates.pick(self.now);
        self.wake_for_rates(match pick {
            Pick::Wait(at) => Some(at),
            Pick::Queue(..) | Pick::Nobody => None,
        });
        !self.work.is_empty() || matches!(pick, Pick::Queue(..))
    }

    /// Looks at the queues of the slot whose turn it is. Returns what of the budget that took, or
    /// [`None`] if none has work.
    fn serve_next(&mut self, host: &mut dyn Host) -> Option<u32> {
        let (slot, tx, rx) = self.work.take()?;
        // Looked at again once the function may work.
        if !self.can_move_packets(slot) {
            return Some(0);
        }
        let mut spent = 0u32;
        for index in bits(rx) {
            spent = spent.saturating_add(1);
            self.poll_rx(host, slot, index);
        }
        let shares = self.state.rates.is_active() && (slot.is_vf() || slot.is_sf());
        for index in bits(tx) {
            spent = spent.saturating_add(1);
            if shares {
                self.wait_for_turn(host, slot, index);
                continue;
            }
            let turn = self.poll_tx(host, slot, index, u64::MAX);
            spent = spent.saturating_add(turn.done);
            if turn.more {
                self.work.add(slot, 1 << index, 0);
            }
        }
        Some(spent)
    }

    /// Has the queue send whose turn it is by the rates. Returns what of the budget that took, or
    /// [`None`] if it is nobody's turn.
    fn serve_rated(&mut self, host: &mut dyn Host) -> Option<u32> {
        let rates = &mut self.state.rates;
        let Pick::Queue(slot, index) = rates.pick(self.now) else {
            return None;
        };
        // Where classes count the next packet may be of another one.
        let limit = if rates.has_classes() {
            1
        } else {
            TURN_BYTES.min(rates.burst(slot))
        };
        if !self.can_move_packets(slot) {
            self.state.rates.stop(slot);
            return Some(0);
        }
        let turn = self.poll_tx(host, slot, index, limit);
        self.state.rates.served(slot, index, turn.bytes, self.now);
        if turn.more {
            self.wait_for_turn(host, slot, index);
        }
        Some(turn.done.saturating_add(1))
    }

    /// Lets a queue wait for its turn.
    fn wait_for_turn(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        let there = self.function(slot).is_some_and(|function| {
            let place = function.tx.get(usize::from(index)).and_then(Option::as_ref);
            let virtio = function.virtio.as_ref();
            place.is_some_and(|tx| tx.queue.runs())
                || virtio.is_some_and(|virtio| virtio.can_transmit(2 * index + 1))
        });
        if !there {
            return;
        }
        let class = if self.state.rates.has_classes() {
            // What is wrong with the queue is found when it is its turn.
            self.next_class(host, slot, index).unwrap_or_default()
        } else {
            0
        };
        self.state.rates.wait(slot, index, class);
    }

    /// Returns the traffic class of the packet that a queue sends next.
    fn next_class(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
    ) -> Result<u8, QueueSyndrome> {
        let function = self.state.functions[slot.index()].as_deref();
        let place = function.and_then(|function| function.tx.get(usize::from(index)));
        let Some(Some(tx)) = place else {
            return Ok(0);
        };
        let mut bus = bus!(self, host, slot.pci());
        let (_, ready) = tx.queue.ready(&mut bus)?;
        if ready == 0 {
            return Ok(0);
        }
        let mut descs = [TxDesc::default()];
        tx.queue.fetch(&mut bus, &mut descs)?;
        let [desc] = descs;
        if TxFlags(desc.flags.get()).contains(TxFlags::VLAN) {
            return Ok(class(desc.vlan.get()));
        }
        let mut header = [0; ETH_HEADER + VLAN_TAG];
        if (desc.len.get() as usize) < header.len() {
            return Ok(0);
        }
        let read = bus.read(desc.addr.get(), &mut header);
        Ok(read.ok().and_then(|()| vlan(&header)).map_or(0, class))
    }

    /// Asks for a run at the time at which one of those that wait may send.
    fn wake_for_rates(&mut self, at: Option<u64>) {
        if self.rates_timer == at {
            return;
        }
        if let Some(at) = self.rates_timer {
            self.timers.remove(at, Timer::Rates);
        }
        if let Some(at) = at {
            self.timers.add(at, Timer::Rates);
        }
        self.rates_timer = at;
    }
}

/// Returns the traffic class that a VLAN tag tells.
fn class(tci: u16) -> u8 {
    // CAST: three bits.
    (tci >> 13) as u8
}
