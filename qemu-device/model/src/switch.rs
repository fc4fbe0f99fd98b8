// SPDX-License-Identifier: GPL-2.0

//! The embedded switch in legacy mode: which ports a frame goes to.
//!
//! Uplink, PF, VFs and SFs are its ports, see [`crate::eswitch`] for the other modes. A unicast frame goes to the port whose own or filtered
//! address it is for, else to where its address was learned, else to the uplink. A group goes to
//! the uplink and all ports that receive it. Promiscuous ports receive a copy of everything. No
//! frame goes back to where it came from.

use std::collections::BTreeSet;

use ferrite_abi::cmd::RxMode;

use crate::mac::Mac;
use crate::port::Port;
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::slot::{
    Slot,
    SlotSet, //
};

/// A port of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vport {
    /// The wire.
    Uplink,
    /// A function.
    Function(Slot),
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Whether to the uplink.
    pub(crate) uplink: bool,
    /// To which functions.
    pub(crate) functions: SlotSet,
}

/// The way of a packet through the switch.
#[derive(Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be an allocation for each packet to a group"
)]
pub(crate) enum Path {
    /// To no port.
    Nowhere,
    /// Back to the function that sent it, whose port is turned around.
    Back(Slot),
    /// To the uplink.
    Uplink,
    /// To a function.
    Function(Slot),
    /// To several ports.
    Group(Route),
    /// Where the rule in this place says.
    Rule(u16),
}

/// The switch.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// Every function that is plugged in.
    plugged: SlotSet,
    /// Functions that receive everything.
    promiscuous: SlotSet,
    /// Whether there are any.
    is_any_promiscuous: bool,
    /// Functions that receive all multicast.
    all_multicast: SlotSet,
    /// Own and filtered addresses, with who receives for them.
    addresses: BTreeSet<(Mac, Slot)>,
    /// What was learned.
    learned: Learned,
}

impl Switch {
    /// Takes note of what a function's port receives. An unplugged port counts as new. Who is not
    /// trusted gets no more of being promiscuous than multicast.
    pub(crate) fn plug(&mut self, slot: Slot, port: &Port, trusted: bool) {
        let promiscuous = port.mode.contains(RxMode::PROMISCUOUS);
        self.plugged.insert(slot);
        self.promiscuous.set(slot, promiscuous && trusted);
        self.is_any_promiscuous = !self.promiscuous.is_empty();
        self.all_multicast.set(
            slot,
            promiscuous || port.mode.contains(RxMode::ALL_MULTICAST),
        );
        self.addresses.insert((port.mac, slot));
        self.addresses
            .extend(port.filter.iter().map(|mac| (*mac, slot)));
    }

    /// Forgets a function, whose port is still as it was plugged.
    pub(crate) fn unplug(&mut self, slot: Slot, port: &Port) {
        self.plugged.remove(slot);
        self.promiscuous.remove(slot);
        self.is_any_promiscuous = !self.promiscuous.is_empty();
        self.all_multicast.remove(slot);
        self.addresses.remove(&(port.mac, slot));
        for mac in &port.filter {
            self.addresses.remove(&(*mac, slot));
        }
    }

    /// Learns that a station is behind a port.
    pub(crate) fn learn(&mut self, source: Mac, from: Vport, now: u64) {
        if source.is_station() {
            self.learned.put(source, from, now);
        }
    }

    /// Forgets what was learned behind a function.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.learned.forget(Vport::Function(slot));
    }

    /// Forgets all that was learned.
    pub(crate) fn forget_all(&mut self) {
        self.learned = Learned::default();
    }

    /// Decides where a frame goes.
    pub(crate) fn path(&self, destination: Mac, from: Vport, now: u64) -> Path {
        // Most frames are for one port: these need no set.
        if destination.is_multicast() || self.is_any_promiscuous {
            return Path::Group(self.route(destination, from, now));
        }
        let members = (destination, Slot::PF)..=(destination, Slot::LAST);
        let mut owners = self.addresses.range(members).map(|(_, slot)| *slot);
        let to = match (owners.next(), owners.next()) {
            (Some(_), Some(_)) => return Path::Group(self.route(destination, from, now)),
            (Some(slot), None) => Vport::Function(slot),
            (None, _) => self.learned.get(destination, now).unwrap_or(Vport::Uplink),
        };
        match to {
            to if to == from => Path::Nowhere,
            Vport::Uplink => Path::Uplink,
            Vport::Function(slot) => Path::Function(slot),
        }
    }

    /// Decides where a frame goes, which may be to several ports.
    fn route(&self, destination: Mac, from: Vport, now: u64) -> Route {
        let mut route = Route {
            uplink: false,
            functions: self.promiscuous,
        };
        if destination == Mac::BROADCAST {
            route.functions = self.plugged;
            route.uplink = true;
        } else {
            let members = (destination, Slot::PF)..=(destination, Slot::LAST);
            let mut known = false;
            for (_, slot) in self.addresses.range(members) {
                route.functions.insert(*slot);
                known = true;
            }
            if destination.is_multicast() {
                route.functions.union(&self.all_multicast);
                route.uplink = true;
            } else if !known {
                match self.learned.get(destination, now) {
                    Some(Vport::Function(slot)) => route.functions.insert(slot),
                    Some(Vport::Uplink) | None => route.uplink = true,
                }
            }
        }
        match from {
            Vport::Uplink => route.uplink = false,
            Vport::Function(slot) => route.functions.remove(slot),
        }
        route
    }
}

// Ports are saved with the functions; here is what was learned.
impl Saved for Switch {
    fn save(&self, writer: &mut Writer) {
        let entries: Vec<_> = self.learned.entries().collect();
        // CAST: the table is far smaller.
        (entries.len() as u32).save(writer);
        for Entry { mac, port, seen } in entries {
            mac.save(writer);
            port.save(writer);
            seen.save(writer);
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let mut switch = Self::default();
        for _ in 0..u32::load(reader)? {
            let (mac, port) = (Mac::load(reader)?, Option::load(reader)?);
            let (Some(port), true) = (port, mac.is_station()) else {
                return Err(LoadError::Invalid("learned address"));
            };
            switch.learned.put(mac, port, u64::load(reader)?);
        }
        Ok(switch)
    }
}

impl Saved for Vport {
    fn save(&self, writer: &mut Writer) {
        match self {
            Self::Uplink => u16::MAX.save(writer),
            Self::Function(slot) => slot.id().0.save(writer),
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        match u16::load(reader)? {
            u16::MAX => Ok(Self::Uplink),
            id => Slot::of(ferrite_abi::ids::FunctionId(id))
                .map(Self::Function)
                .ok_or(LoadError::Invalid("port of a learned address")),
        }
    }
}

/// Sets of the table of learned addresses, a power of two.
const SETS: usize = 1024;
/// Addresses of each set.
const WAYS: usize = 4;
/// How long an address is remembered, in nanoseconds.
const AGE_NS: u64 = 300_000_000_000;

/// A learned address.
#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: Mac,
    /// [`None`] for an unused entry.
    port: Option<Vport>,
    /// When a frame was last seen.
    seen: u64,
}

/// Learned addresses: a table of fixed size. A new address takes the place of the oldest of its
/// set.
#[derive(Debug)]
struct Learned(Box<[[Entry; WAYS]]>);

impl Default for Learned {
    fn default() -> Self {
        let unused = Entry {
            mac: Mac::default(),
            port: None,
            seen: 0,
        };
        Self(vec![[unused; WAYS]; SETS].into_boxed_slice())
    }
}

impl Learned {
    fn put(&mut self, mac: Mac, port: Vport, now: u64) {
        let set = &mut self.0[set(mac)];
        let at = set
            .iter()
            .position(|entry| entry.port.is_some() && entry.mac == mac);
        let at = at.or_else(|| (0..WAYS).min_by_key(|at| (set[*at].port.is_some(), set[*at].seen)));
        if let Some(at) = at {
            set[at] = Entry {
                mac,
                port: Some(port),
                seen: now,
            };
        }
    }

    fn get(&self, mac: Mac, now: u64) -> Option<Vport> {
        let entry = self.0[set(mac)].iter().find(|entry| entry.mac == mac)?;
        entry
            .port
            .filter(|_| now.saturating_sub(entry.seen) < AGE_NS)
    }

    fn forget(&mut self, port: Vport) {
        for entry in self.0.iter_mut().flatten() {
            if entry.port == Some(port) {
                entry.port = None;
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.0
            .iter()
            .flatten()
            .filter(|entry| entry.port.is_some())
            .copied()
    }
}

/// Returns the set that an address falls into (multiplicative hash).
fn set(mac: Mac) -> usize {
    (mac.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SETS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PF: Vport = Vport::Function(Slot::PF);

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn vf(n: u16) -> Slot {
        Slot::vf(n).unwrap()
    }

    fn functions(slots: &[Slot]) -> SlotSet {
        let mut set = SlotSet::default();
        slots.iter().for_each(|slot| set.insert(*slot));
        set
    }

    /// PF with address 0, VFs 0 and 1 with addresses 1 and 2.
    fn switch() -> Switch {
        let mut switch = Switch::default();
        switch.plug(Slot::PF, &Port::new(mac(0)), true);
        switch.plug(vf(0), &Port::new(mac(1)), true);
        switch.plug(vf(1), &Port::new(mac(2)), true);
        switch
    }

    #[test]
    fn unicast_goes_to_its_owner_alone() {
        let switch = switch();
        for from in [Vport::Uplink, PF] {
            let route = switch.route(mac(2), from, 0);
            assert_eq!(
                route,
                Route {
                    uplink: false,
                    functions: functions(&[vf(1)])
                }
            );
        }
    }

    #[test]
    fn unknown_unicast_goes_to_the_uplink_and_not_back() {
        let switch = switch();
        assert_eq!(
            switch.route(mac(9), PF, 0),
            Route {
                uplink: true,
                functions: SlotSet::default()
            }
        );
        assert_eq!(switch.route(mac(9), Vport::Uplink, 0), Route::default());
    }

    #[test]
    fn broadcast_goes_to_all_but_its_sender() {
        let route = switch().route(Mac::BROADCAST, Vport::Function(vf(0)), 0);
        assert_eq!(
            route,
            Route {
                uplink: true,
                functions: functions(&[Slot::PF, vf(1)])
            }
        );
    }

    #[test]
    fn multicast_goes_to_those_who_want_it() {
        let group = Mac([1, 0, 0x5e, 0, 0, 5]);
        let mut switch = switch();
        let mut member = Port::new(mac(1));
        member.filter.push(group);
        switch.plug(vf(0), &member, true);
        let mut all = Port::new(mac(2));
        all.mode = RxMode::ALL_MULTICAST;
        switch.plug(vf(1), &all, true);
        let route = switch.route(group, Vport::Uplink, 0);
        assert_eq!(
            route,
            Route {
                uplink: false,
                functions: functions(&[vf(0), vf(1)])
            }
        );
    }

    #[test]
    fn promiscuous_port_sees_what_passes_between_others() {
        let mut switch = switch();
        let mut port = Port::new(mac(0));
        port.mode = RxMode::PROMISCUOUS;
        switch.plug(Slot::PF, &port, true);
        let route = switch.route(mac(2), Vport::Function(vf(0)), 0);
        assert_eq!(
            route,
            Route {
                uplink: false,
                functions: functions(&[Slot::PF, vf(1)])
            }
        );
    }

    #[test]
    fn promiscuous_port_that_is_not_trusted_gets_all_multicast() {
        let mut switch = switch();
        let mut port = Port::new(mac(1));
        port.mode = RxMode::PROMISCUOUS;
        switch.plug(vf(0), &port, false);
        assert_eq!(switch.path(mac(2), PF, 0), Path::Function(vf(1)));
        let group = Mac([1, 0, 0x5e, 0, 0, 5]);
        assert_eq!(switch.route(group, PF, 0).functions, functions(&[vf(0)]));
    }

    #[test]
    fn learned_station_is_found_until_it_moves_or_ages() {
        let mut switch = switch();
        switch.learn(mac(9), PF, 1_000);
        let behind_pf = Route {
            uplink: false,
            functions: functions(&[Slot::PF]),
        };
        assert_eq!(
            switch.route(mac(9), Vport::Function(vf(0)), 2_000),
            behind_pf
        );
        assert!(
            switch
                .route(mac(9), Vport::Function(vf(0)), 1_000 + AGE_NS)
                .uplink
        );
        switch.learn(mac(9), Vport::Uplink, 3_000);
        assert!(switch.route(mac(9), Vport::Function(vf(0)), 4_000).uplink);
        switch.learn(mac(9), PF, 5_000);
        switch.forget(Slot::PF);
        assert!(switch.route(mac(9), Vport::Function(vf(0)), 6_000).uplink);
    }

    #[test]
    fn station_behind_the_senders_port_is_not_looked_for_elsewhere() {
        let mut switch = switch();
        switch.learn(mac(9), PF, 0);
        assert_eq!(switch.route(mac(9), PF, 0), Route::default());
    }

    #[test]
    fn flood_of_addresses_stays_within_the_table() {
        let mut learned = Learned::default();
        for n in 0..100_000u32 {
            let [a, b, c, d] = n.to_be_bytes();
            learned.put(Mac([2, 0, a, b, c, d]), Vport::Uplink, n.into());
        }
        assert!(learned.entries().count() <= SETS * WAYS);
        let last = 99_999u32.to_be_bytes();
        assert_eq!(
            learned.get(Mac([2, 0, last[0], last[1], last[2], last[3]]), 100_000),
            Some(Vport::Uplink)
        );
    }

    #[test]
    fn unplugged_port_gets_nothing() {
        let mut switch = switch();
        switch.unplug(vf(1), &Port::new(mac(2)));
        assert!(switch.route(mac(2), PF, 0).uplink);
        assert_eq!(
            switch.route(Mac::BROADCAST, PF, 0).functions,
            functions(&[vf(0)])
        );
    }

    proptest! {
        #[test]
        fn no_frame_goes_back_and_every_owner_gets_its_own(
            from in 0..4u8,
            destination in 0..6u8,
            learned in proptest::collection::vec((3..6u8, 0..4u8), 0..10),
        ) {
            let vport = |n: u8| match n {
                0 => PF,
                1 => Vport::Function(vf(0)),
                2 => Vport::Function(vf(1)),
                _ => Vport::Uplink,
            };
            let mut switch = switch();
            for (now, (station, port)) in learned.iter().enumerate() {
                switch.learn(mac(*station), vport(*port), now as u64);
            }
            let now = learned.len() as u64;
            let route = switch.route(mac(destination), vport(from), now);
            let path = switch.path(mac(destination), vport(from), now);
            let mut ports: Vec<_> = route.functions.iter().map(Vport::Function).collect();
            if route.uplink {
                ports.push(Vport::Uplink);
            }
            prop_assert!(!ports.contains(&vport(from)));
            // The plain reference: owner, else where last learned, else the uplink.
            let expected = if destination < 3 {
                vport(destination)
            } else {
                let last = learned.iter().rev().find(|(station, _)| *station == destination);
                last.map_or(Vport::Uplink, |(_, port)| vport(*port))
            };
            let expected: Vec<_> =
                [expected].into_iter().filter(|port| *port != vport(from)).collect();
            prop_assert_eq!(&ports, &expected);
            let path = match path {
                Path::Nowhere => vec![],
                Path::Back(slot) => vec![Vport::Function(slot)],
                Path::Uplink => vec![Vport::Uplink],
                Path::Function(slot) => vec![Vport::Function(slot)],
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert_eq!(path, expected);
        }
    }
}
