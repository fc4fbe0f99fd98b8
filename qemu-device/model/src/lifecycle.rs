// SPDX-License-Identifier: GPL-2.0

//! How functions, their ports and their queues come and go.

use ferrite_abi::event::{
    FunctionChange,
    FunctionState,
    QueueError,
    QueueSyndrome, //
};
use ferrite_abi::wire::U16;

use crate::device::Device;
use crate::host::{
    Host,
    PciFn,
    Trace, //
};
use crate::port::Port;
use crate::queue::Kind;
use crate::slot::Slot;
use crate::state::State;

impl Device {
    /// Destroys all queues of a function and resets its port.
    pub(crate) fn clear_function(&mut self, slot: Slot) {
        self.timers.cancel(|timer| timer.owner() == Some(slot));
        self.work.remove(slot);
        self.pending.remove(slot);
        self.state.rates.stop(slot);
        self.unplug(slot);
        self.state.switch.forget(slot);
        let State {
            functions, switch, ..
        } = &mut self.state;
        if let Some(function) = functions[slot.index()].as_deref_mut() {
            let queues = function.provision.queues(&self.config, slot);
            function.reset(queues, &mut self.pool);
            switch.plug(slot, &function.port, function.is_trusted());
        }
    }

    /// Lets the next run look at all queues of a function.
    pub(crate) fn look_at_queues(&mut self, slot: Slot) {
        if self.function(slot).is_some() {
            self.work.add(slot, u64::MAX, u64::MAX);
        }
    }

    /// Opens or closes the port of a function.
    pub(crate) fn set_open(&mut self, slot: Slot, open: bool) {
        if let Some(function) = self.state.functions[slot.index()].as_deref_mut() {
            function.set_open(open, &mut self.pool);
        }
        if open {
            self.look_at_queues(slot);
        }
    }

    /// Changes what the switch knows of a function's port.
    pub(crate) fn change_port(&mut self, slot: Slot, change: impl FnOnce(&mut Port)) {
        let State {
            functions, switch, ..
        } = &mut self.state;
        if let Some(function) = functions[slot.index()].as_deref_mut() {
            switch.unplug(slot, &function.port);
            change(&mut function.port);
            switch.plug(slot, &function.port, function.is_trusted());
        }
    }

    /// Takes a function's port out of the switch.
    pub(crate) fn unplug(&mut self, slot: Slot) {
        let State {
            functions, switch, ..
        } = &mut self.state;
        if let Some(function) = functions[slot.index()].as_deref() {
            switch.unplug(slot, &function.port);
        }
    }

    /// Destroys a queue, if there is one.
    pub(crate) fn destroy_queue(&mut self, slot: Slot, kind: Kind, index: u16) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let queue = function.destroy(kind, index, &mut self.pool);
        if let Some((due, timer)) = queue.and_then(|queue| queue.pending_timer()) {
            self.timers.remove(due, timer);
        }
    }

    /// Stops a queue after an error.
    pub(crate) fn stop_queue(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        kind: Kind,
        index: u16,
        syndrome: QueueSyndrome,
    ) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Some(queue) = function.stop(kind, index, syndrome, &mut self.pool) else {
            return;
        };
        if let Some((due, timer)) = queue.pending_timer() {
            self.timers.remove(due, timer);
        }
        host.trace(&Trace::QueueStopped {
            function: slot.id().0,
            kind: kind.code(),
            index,
            syndrome: syndrome.0,
        });
        let error = QueueError {
            kind: U16::new(kind.code()),
            index: U16::new(index),
            syndrome: U16::new(syndrome.0),
            rsvd: [0; 2],
        };
        self.post_event(host, slot.pci(), slot.id(), error);
    }

    /// Takes note that a driver turned the admin queue of a PCI function on or off.
    pub(crate) fn driver_came_or_went(&mut self, host: &mut dyn Host, function: PciFn) {
        let running = self.state.pci[usize::from(function.0)]
            .admin
            .running
            .is_some();
        let state = if running {
            FunctionState::IN_USE
        } else {
            FunctionState::ACTIVE
        };
        let Some(slot) = self.slot_of(function) else {
            return;
        };
        if let Some(function) = self.function_mut(slot) {
            if function.state != state && function.state != FunctionState::INACTIVE {
                function.state = state;
                self.tell_state(host, slot);
            }
        }
    }

    /// Tells the PF in what state a VF or SF is.
    pub(crate) fn tell_state(&mut self, host: &mut dyn Host, slot: Slot) {
        let state = self
            .function(slot)
            .map_or(FunctionState::ABSENT, |there| there.state);
        host.trace(&Trace::Function {
            function: slot.id().0,
            state: state.0,
        });
        if !slot.is_pf() && !slot.is_representor() {
            let change = FunctionChange {
                state: U16::new(state.0),
                rsvd: [0; 2],
            };
            self.post_event(host, PciFn::PF, slot.id(), change);
        }
    }
}
