// SPDX-License-Identifier: GPL-2.0

//! The way of a frame through the embedded switch, and what the mode of the switch makes of it.
//!
//! In legacy mode addresses decide ([`crate::switch`]). In the other modes rules do
//! ([`crate::rules`]); what meets none goes to the representor of where it came from, and what a
//! representor sends goes to what it represents. The PF represents the uplink.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    EswitchMode,
    Rule,
    TrapCause, //
};
use ferrite_abi::event::FunctionState;

use crate::device::Device;
use crate::host::Host;
use crate::packet::{
    destination,
    source,
    vlan,
    vlan_tag,
    VLAN_TAG, //
};
use crate::rules::Action;
use crate::rx::Arrival;
use crate::slot::Slot;
use crate::switch::{
    Path,
    Vport, //
};

/// Bytes of a frame in front of its VLAN tag.
const ADDRESSES: usize = 12;

impl Device {
    /// Returns whether the switch goes by addresses.
    pub(crate) fn is_legacy(&self) -> bool {
        self.state.mode == EswitchMode::LEGACY
    }

    /// Changes the mode of the switch.
    pub(crate) fn set_mode(&mut self, host: &mut dyn Host, mode: EswitchMode) {
        let was_legacy = self.is_legacy();
        self.state.mode = mode;
        if was_legacy == self.is_legacy() {
            return;
        }
        self.state.switch.forget_all();
        self.state.rules.clear();
        for slot in Slot::vfs().chain(Slot::sfs()) {
            if self.function(slot).is_none() {
                continue;
            }
            // Others set rates from now on.
            self.state.rates.remove(slot);
            // What waited for its turn need not any more.
            self.look_at_queues(slot);
            if was_legacy {
                self.represent(host, slot);
            } else if let Some(representor) = slot.representor() {
                self.end(host, representor);
            }
        }
    }

    /// Makes the representor of a function, if the mode has it.
    pub(crate) fn represent(&mut self, host: &mut dyn Host, slot: Slot) {
        if let Some(representor) = slot.representor().filter(|_| !self.is_legacy()) {
            self.provision(host, representor, FunctionState::IN_USE);
        }
    }

    /// Ends what there is in the switch of a function that is gone.
    pub(crate) fn forget_function(&mut self, host: &mut dyn Host, slot: Slot) {
        self.state.rules.remove_naming(Vport::Function(slot));
        if let Some(representor) = slot.representor() {
            self.end(host, representor);
        }
    }

    /// Adds a rule. Returns its id.
    pub(crate) fn add_rule(&mut self, rule: &Rule) -> Result<u32, Status> {
        if self.is_legacy() {
            return Err(Status::BAD_STATE);
        }
        let functions = &self.state.functions;
        let is_there = |port| match port {
            Vport::Uplink => true,
            Vport::Function(slot) => functions[slot.index()].is_some(),
        };
        self.state.rules.add(rule, is_there, self.now)
    }

    /// Returns the VLAN that the switch puts a function into, 0 for none.
    pub(crate) fn access_vlan(&self, slot: Slot) -> u16 {
        match self.function(slot) {
            Some(function) if self.is_legacy() => function.provision.vlan,
            _ => 0,
        }
    }

    /// Decides where a frame goes, and all others of the same packet.
    pub(crate) fn path(&mut self, from: Vport, frame: &[u8]) -> Path {
        if let Vport::Function(slot) = from {
            if self.function(slot).is_some_and(|sender| sender.port.loops) {
                return Path::Back(slot);
            }
        }
        if self.is_legacy() {
            if self.teaches(from) {
                self.state.switch.learn(source(frame), from, self.now);
            }
            return self.state.switch.path(destination(frame), from, self.now);
        }
        match from {
            Vport::Function(Slot::PF) => return Path::Uplink,
            Vport::Function(slot) if slot.is_representor() => {
                return slot.represented().map_or(Path::Nowhere, Path::Function);
            }
            Vport::Function(_) | Vport::Uplink => {}
        }
        if self.state.mode == EswitchMode::SWITCHDEV {
            if let Some(place) = self.state.rules.find(from, frame) {
                return Path::Rule(place);
            }
        }
        match from {
            Vport::Uplink => Path::Function(Slot::PF),
            Vport::Function(slot) => slot.representor().map_or(Path::Nowhere, Path::Function),
        }
    }

    /// Returns whether the switch learns from a port, which is one that may send from any address.
    fn teaches(&self, from: Vport) -> bool {
        match from {
            Vport::Uplink | Vport::Function(Slot::PF) => true,
            Vport::Function(slot) => self
                .function(slot)
                .is_some_and(|function| !function.checks_source()),
        }
    }

    /// Passes a frame on that came from a port. Returns whether any port took it.
    pub(crate) fn pass(
        &mut self,
        host: &mut dyn Host,
        from: Vport,
        path: &Path,
        frame: &[u8],
    ) -> bool {
        match path {
            Path::Nowhere => {
                // Who is not known is looked for behind the uplink.
                let cause = match from {
                    Vport::Uplink => TrapCause::DESTINATION,
                    Vport::Function(_) => TrapCause::SAME_PORT,
                };
                self.drop_frame(host, cause, from, frame);
                false
            }
            Path::Uplink => self.send_to_uplink(host, frame),
            Path::Back(slot) => self.deliver(host, *slot, &Arrival::back(frame)),
            Path::Function(slot) => self.deliver(host, *slot, &Arrival::new(frame)),
            Path::Group(route) if !route.uplink && route.functions.is_empty() => {
                self.drop_frame(host, TrapCause::NO_RECEIVER, from, frame);
                false
            }
            Path::Group(route) => {
                let mut taken = route.uplink && self.send_to_uplink(host, frame);
                if !route.functions.is_empty() {
                    let arrival = Arrival::new(frame);
                    for slot in route.functions.iter() {
                        taken |= self.deliver(host, slot, &arrival);
                    }
                }
                taken
            }
            Path::Rule(place) => self.follow(host, from, *place, frame),
        }
    }

    /// Does with a frame what a rule says. Returns whether any port took it.
    fn follow(&mut self, host: &mut dyn Host, from: Vport, place: u16, frame: &[u8]) -> bool {
        let actions = self.state.rules.meet(place, frame.len(), self.now);
        if actions.iter().next().is_none() {
            self.drop_frame(host, TrapCause::RULE, from, frame);
            return false;
        }
        let mut actions = actions.iter().peekable();
        // The frame is copied only to be changed.
        let mut copy = std::mem::take(&mut self.edited);
        let mut changed = false;
        let mut taken = false;
        while let Some(action) = actions.next() {
            let current = if changed { copy.as_slice() } else { frame };
            match action {
                Action::Forward(port) => {
                    let mut arrival = None;
                    let mut port = Some(port);
                    while let Some(to) = port {
                        taken |= match to {
                            Vport::Uplink => self.send_to_uplink(host, current),
                            Vport::Function(slot) => {
                                let arrival = arrival.get_or_insert_with(|| Arrival::new(current));
                                self.deliver(host, slot, arrival)
                            }
                        };
                        // The same frame to the next port is looked at but once.
                        port = match actions.peek() {
                            Some(Action::Forward(next)) => Some(*next),
                            _ => None,
                        };
                        if port.is_some() {
                            actions.next();
                        }
                    }
                }
                Action::PopVlan if vlan(current).is_none() => break,
                Action::PopVlan | Action::PushVlan(_) => {
                    if !changed {
                        copy.clear();
                        copy.extend_from_slice(frame);
                        changed = true;
                    }
                    match action {
                        Action::PushVlan(tci) => {
                            copy.splice(ADDRESSES..ADDRESSES, vlan_tag(tci));
                        }
                        _ => {
                            copy.drain(ADDRESSES..ADDRESSES + VLAN_TAG);
                        }
                    }
                }
            }
        }
        self.edited = copy;
        taken
    }

    /// Sends a frame through the uplink. Returns whether that is up.
    fn send_to_uplink(&mut self, host: &mut dyn Host, frame: &[u8]) -> bool {
        if self.state.uplink_up {
            host.uplink_send(frame);
        }
        self.state.uplink_up
    }
}
