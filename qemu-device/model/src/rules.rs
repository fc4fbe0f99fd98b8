// SPDX-License-Identifier: GPL-2.0

//! The rules of the switch: which a frame meets, and what met them.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    QueryRuleDone,
    Rule,
    RuleAction,
    RuleActionKind,
    MAX_RULE_ACTIONS,
    UPLINK, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::{
    U32,
    U64, //
};

use crate::flow::{
    Counted,
    Flow,
    Pattern, //
};
use crate::packet::Ip;
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::slot::{
    Slot,
    SLOTS, //
};
use crate::switch::Vport;

/// Largest number of rules. The place of one is in the low half of its id.
pub(crate) const MAX_RULES: usize = 1 << 14;

/// Places of the cache, a power of two.
const CACHE: usize = 1024;
/// Rules of a port that are looked through without the cache.
const FEW: usize = 4;

/// What is done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Sends it to a port.
    Forward(Vport),
    /// Takes the VLAN tag off.
    PopVlan,
    /// Puts a VLAN tag on.
    PushVlan(u16),
}

/// The actions of a rule, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Actions([Option<Action>; MAX_RULE_ACTIONS]);

impl Actions {
    /// Returns the actions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        self.0.iter().map_while(|action| *action)
    }

    /// Decodes what a command says.
    fn decode(actions: &[RuleAction; MAX_RULE_ACTIONS]) -> Result<Self, Status> {
        let mut decoded = Self::default();
        let mut ended = false;
        for (place, action) in decoded.0.iter_mut().zip(actions) {
            let (kind, argument) = (RuleActionKind(action.kind.get()), action.argument.get());
            let action = match kind {
                RuleActionKind::END if argument == 0 => None,
                RuleActionKind::FORWARD => Some(Action::Forward(
                    port(argument).ok_or(Status::INVALID_FUNCTION)?,
                )),
                RuleActionKind::POP_VLAN if argument == 0 => Some(Action::PopVlan),
                RuleActionKind::PUSH_VLAN => Some(Action::PushVlan(argument)),
                _ => return Err(Status::INVALID_FIELD),
            };
            if ended && action.is_some() {
                return Err(Status::INVALID_FIELD);
            }
            ended = action.is_none();
            *place = action;
        }
        Ok(decoded)
    }
}

/// Returns the port that a number names, whether it is there or not.
fn port(number: u16) -> Option<Vport> {
    match number {
        UPLINK => Some(Vport::Uplink),
        id => Slot::of(FunctionId(id)).map(Vport::Function),
    }
}

/// A rule, and what met it.
#[derive(Debug)]
struct Entry {
    id: u32,
    /// As it was added.
    rule: Rule,
    packets: u64,
    bytes: u64,
    /// When it was last met, or added.
    last: u64,
    /// What follows from `rule`.
    decoded: Decoded,
}

/// What follows from a rule.
#[derive(Debug)]
struct Decoded {
    in_port: Vport,
    pattern: Pattern,
    actions: Actions,
}

impl Decoded {
    fn of(rule: &Rule) -> Result<Self, Status> {
        let pattern = Pattern::new(rule.key, rule.mask).filter(|_| rule.rsvd == [0; 2]);
        let pattern = pattern.ok_or(Status::INVALID_FIELD)?;
        let in_port = port(rule.in_port.get())
            .filter(|port| match port {
                Vport::Uplink => true,
                Vport::Function(slot) => slot.is_vf() || slot.is_sf(),
            })
            .ok_or(Status::INVALID_FUNCTION)?;
        Ok(Self {
            in_port,
            pattern,
            actions: Actions::decode(&rule.actions)?,
        })
    }

    /// Returns all ports that are named.
    fn ports(&self) -> impl Iterator<Item = Vport> + '_ {
        let forwards = self.actions.iter().filter_map(|action| match action {
            Action::Forward(port) => Some(port),
            _ => None,
        });
        std::iter::once(self.in_port).chain(forwards)
    }
}

/// The rules for the frames of one port.
#[derive(Debug, Default)]
struct OfPort {
    /// Places of rules, in the order in which they are tried.
    places: Vec<u16>,
    /// The bits that count for any of them, and maybe of some that were removed.
    counted: Counted,
}

/// What was found for a flow.
#[derive(Clone, Copy, Debug)]
struct Cached {
    /// Of the table of rules; another one's finds count no more.
    generation: u32,
    port: u16,
    /// As far as it counts for any rule of the port.
    flow: Flow,
    found: Option<u16>,
}

/// All rules.
#[derive(Debug)]
pub(crate) struct Rules {
    /// By place.
    entries: Vec<Option<Box<Entry>>>,
    count: u32,
    /// Number of rules that were ever added.
    added: u32,
    /// By index of the port.
    ports: Vec<Option<Box<OfPort>>>,
    generation: u32,
    cache: Box<[Option<Cached>]>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            count: 0,
            added: 0,
            ports: (0..=SLOTS).map(|_| None).collect(),
            generation: 0,
            cache: vec![None; CACHE].into_boxed_slice(),
        }
    }
}

impl Rules {
    /// Returns how many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a rule. `is_there` tells whether there is a port. Returns its id.
    pub(crate) fn add(
        &mut self,
        rule: &Rule,
        is_there: impl Fn(Vport) -> bool,
        now: u64,
    ) -> Result<u32, Status> {
        let decoded = Decoded::of(rule)?;
        if !decoded.ports().all(is_there) {
            return Err(Status::INVALID_FUNCTION);
        }
        if self.count as usize >= MAX_RULES {
            return Err(Status::NO_RESOURCE);
        }
        let free = self.entries.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        // CAST: fewer than fit in the low half.
        let id = self.added << 16 | place as u32;
        self.added = self.added.wrapping_add(1);
        self.count += 1;
        self.entries[place] = Some(Box::new(Entry {
            id,
            rule: *rule,
            packets: 0,
            bytes: 0,
            last: now,
            decoded,
        }));
        self.insert(place);
        Ok(id)
    }

    /// Removes a rule. Returns whether there was one.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let Some(place) = self.place(id) else {
            return false;
        };
        self.take_out(place);
        true
    }

    /// Removes all rules that name a port.
    pub(crate) fn remove_naming(&mut self, port: Vport) {
        for place in 0..self.entries.len() {
            let names = |entry: &Entry| entry.decoded.ports().any(|named| named == port);
            if self.entries[place].as_deref().is_some_and(names) {
                self.take_out(place);
            }
        }
    }

    /// Removes all rules. Their ids are not given out again at once.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            added: self.added,
            ..Self::default()
        };
    }

    /// Tells what met a rule.
    pub(crate) fn query(&self, id: u32, now: u64) -> Option<QueryRuleDone> {
        let entry = self.entries[self.place(id)?].as_deref()?;
        let idle = now.saturating_sub(entry.last) / 1_000_000;
        Some(QueryRuleDone {
            packets: U64::new(entry.packets),
            bytes: U64::new(entry.bytes),
            idle_ms: U32::new(u32::try_from(idle).unwrap_or(u32::MAX)),
        })
    }

    /// Finds the rule that a frame from a port meets. Returns its place.
    pub(crate) fn find(&mut self, from: Vport, frame: &[u8]) -> Option<u16> {
        let index = index(from);
        let of_port = self.ports[index].as_deref()?;
        let flow = Flow::of(frame, Ip::find(frame).as_ref());
        if of_port.places.len() <= FEW {
            return first(&self.entries, of_port, &flow);
        }
        let flow = flow.only(&of_port.counted);
        // CAST: a few thousand ports; and the low bits of the hash.
        let port = index as u16;
        let at = (flow.hash() >> 40) as usize % CACHE;
        if let Some(cached) = &self.cache[at] {
            if cached.generation == self.generation && cached.port == port && cached.flow == flow {
                return cached.found;
            }
        }
        let found = first(&self.entries, of_port, &flow);
        self.cache[at] = Some(Cached {
            generation: self.generation,
            port,
            flow,
            found,
        });
        found
    }

    /// Counts a frame that meets a rule. Returns what is to be done with it.
    pub(crate) fn meet(&mut self, place: u16, length: usize, now: u64) -> Actions {
        let Some(Some(entry)) = self.entries.get_mut(usize::from(place)) else {
            return Actions::default();
        };
        entry.packets += 1;
        entry.bytes += length as u64;
        entry.last = now;
        entry.decoded.actions
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self, is_there: impl Fn(Vport) -> bool) -> Result<(), LoadError> {
        for entry in self.entries.iter().flatten() {
            // So far below the end that nothing can count beyond it.
            let counts = entry.packets.max(entry.bytes) <= u64::MAX / 2;
            if !entry.decoded.ports().all(&is_there) || !counts {
                return Err(LoadError::Invalid("rule"));
            }
        }
        Ok(())
    }

    /// Returns the place of a rule.
    fn place(&self, id: u32) -> Option<usize> {
        let place = (id & 0xffff) as usize;
        let entry = self.entries.get(place)?.as_deref()?;
        (entry.id == id).then_some(place)
    }

    /// Lets the rule in a place be found.
    fn insert(&mut self, place: usize) {
        let Some(entry) = self.entries[place].as_deref() else {
            return;
        };
        let decoded = &entry.decoded;
        let priority = entry.rule.priority.get();
        let entries = &self.entries;
        let of_port = self.ports[index(decoded.in_port)].get_or_insert_default();
        // Behind all of the same priority, which are older.
        let at = of_port.places.partition_point(|other| {
            let other = entries[usize::from(*other)].as_deref();
            other.is_some_and(|other| other.rule.priority.get() <= priority)
        });
        // CAST: fewer than fit in the low half of an id.
        of_port.places.insert(at, place as u16);
        of_port.counted.add(&decoded.pattern);
        self.generation = self.generation.wrapping_add(1);
    }

    /// Removes the rule in a place.
    fn take_out(&mut self, place: usize) {
        let Some(entry) = self.entries[place].take() else {
            return;
        };
        self.count -= 1;
        self.generation = self.generation.wrapping_add(1);
        let at = index(entry.decoded.in_port);
        let Some(of_port) = &mut self.ports[at] else {
            return;
        };
        of_port.places.retain(|other| usize::from(*other) != place);
        if of_port.places.is_empty() {
            self.ports[at] = None;
        }
    }
}

/// Returns the first rule of a port that a flow meets.
fn first(entries: &[Option<Box<Entry>>], of_port: &OfPort, flow: &Flow) -> Option<u16> {
    of_port.places.iter().copied().find(|place| {
        let entry = entries[usize::from(*place)].as_deref();
        entry.is_some_and(|entry| entry.decoded.pattern.fits(flow))
    })
}

/// Returns the index of a port into tables.
fn index(port: Vport) -> usize {
    match port {
        Vport::Uplink => SLOTS,
        Vport::Function(slot) => slot.index(),
    }
}

/// What is saved of a rule.
struct SavedRule {
    id: u32,
    rule: Rule,
    packets: u64,
    bytes: u64,
    last: u64,
}

saved!(SavedRule {
    id,
    rule,
    packets,
    bytes,
    last
});

impl Saved for Rules {
    fn save(&self, writer: &mut Writer) {
        self.added.save(writer);
        self.count.save(writer);
        // In the order in which they are tried, so that the older of equals stays so.
        for of_port in self.ports.iter().flatten() {
            for place in &of_port.places {
                if let Some(entry) = self.entries[usize::from(*place)].as_deref() {
                    let saved = SavedRule {
                        id: entry.id,
                        rule: entry.rule,
                        packets: entry.packets,
                        bytes: entry.bytes,
                        last: entry.last,
                    };
                    saved.save(writer);
                }
            }
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let mut rules = Self {
            added: u32::load(reader)?,
            ..Self::default()
        };
        for _ in 0..u32::load(reader)? {
            let saved = SavedRule::load(reader)?;
            let place = (saved.id & 0xffff) as usize;
            if place >= MAX_RULES {
                return Err(LoadError::Invalid("id of a rule"));
            }
            if rules.entries.len() <= place {
                rules.entries.resize_with(place + 1, || None);
            }
            if rules.entries[place].is_some() {
                return Err(LoadError::Invalid("id of a rule"));
            }
            let decoded = Decoded::of(&saved.rule).map_err(|_| LoadError::Invalid("rule"))?;
            rules.entries[place] = Some(Box::new(Entry {
                id: saved.id,
                rule: saved.rule,
                packets: saved.packets,
                bytes: saved.bytes,
                last: saved.last,
                decoded,
            }));
            rules.count += 1;
            rules.insert(place);
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use ferrite_abi::wire::U16;
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    use super::*;
    use crate::testing::frame;

    /// A rule for frames of a protocol and destination port, as far as these are given.
    fn rule(priority: u32, protocol: Option<u8>, port: Option<u16>) -> Rule {
        let mut rule = Rule::new_zeroed();
        rule.priority = U32::new(priority);
        rule.in_port = U16::new(UPLINK);
        if let Some(protocol) = protocol {
            (rule.key.ip_proto, rule.mask.ip_proto) = (protocol, 0xff);
        }
        if let Some(port) = port {
            (rule.key.dst_port, rule.mask.dst_port) = (U16::new(port), U16::new(0xffff));
        }
        rule
    }

    fn added(rules: &mut Rules, rule: &Rule) -> u16 {
        rules.add(rule, |_| true, 0).unwrap() as u16
    }

    #[test]
    fn lowest_priority_counts_and_among_equals_the_older() {
        let mut rules = Rules::default();
        let frame = frame::tcp4(b"x");
        let late = added(&mut rules, &rule(7, None, None));
        assert_eq!(rules.find(Vport::Uplink, &frame), Some(late));
        let older = added(&mut rules, &rule(5, Some(6), None));
        let younger = added(&mut rules, &rule(5, None, None));
        assert_eq!(rules.find(Vport::Uplink, &frame), Some(older));
        assert_eq!(rules.find(Vport::Uplink, &frame::udp4(b"x")), Some(younger));
        assert_eq!(
            rules.find(Vport::Function(Slot::vf(0).unwrap()), &frame),
            None
        );
    }

    #[test]
    fn removed_rule_is_met_no_more_and_its_id_names_nothing() {
        let mut rules = Rules::default();
        let id = rules.add(&rule(1, None, None), |_| true, 0).unwrap();
        assert!(rules.remove(id));
        assert!(!rules.remove(id));
        assert!(rules.query(id, 0).is_none());
        assert_eq!(rules.find(Vport::Uplink, &frame::udp4(b"x")), None);
        let next = rules.add(&rule(1, None, None), |_| true, 0).unwrap();
        assert_ne!(next, id);
    }

    #[test]
    fn ids_from_before_clearing_name_nothing() {
        let mut rules = Rules::default();
        let before = rules.add(&rule(1, None, None), |_| true, 0).unwrap();
        rules.clear();
        assert_eq!(rules.count(), 0);
        assert_eq!(rules.find(Vport::Uplink, &frame::udp4(b"x")), None);
        let after = rules.add(&rule(1, None, None), |_| true, 0).unwrap();
        assert_ne!(after, before);
        assert!(!rules.remove(before));
    }

    #[test]
    fn actions_that_make_no_sense_are_refused() {
        let action = |kind: u16, argument| RuleAction {
            kind: U16::new(kind),
            argument: U16::new(argument),
        };
        for (actions, status) in [
            (vec![action(4, 0)], Status::INVALID_FIELD),
            (vec![action(0, 1)], Status::INVALID_FIELD),
            (vec![action(2, 1)], Status::INVALID_FIELD),
            (vec![action(0, 0), action(2, 0)], Status::INVALID_FIELD),
            (vec![action(1, 0x7000)], Status::INVALID_FUNCTION),
        ] {
            let mut bad = rule(1, None, None);
            bad.actions[..actions.len()].copy_from_slice(&actions);
            let result = Rules::default().add(&bad, |_| true, 0);
            assert_eq!(result, Err(status), "{actions:?}");
        }
        let mut bad = rule(1, None, None);
        bad.mask.rsvd[0] = 1;
        assert_eq!(
            Rules::default().add(&bad, |_| true, 0),
            Err(Status::INVALID_FIELD)
        );
        assert_eq!(
            Rules::default().add(&rule(1, None, None), |_| false, 0),
            Err(Status::INVALID_FUNCTION)
        );
        let mut from_pf = rule(1, None, None);
        from_pf.in_port = U16::new(0);
        assert_eq!(
            Rules::default().add(&from_pf, |_| true, 0),
            Err(Status::INVALID_FUNCTION)
        );
    }

    proptest! {
        /// With many rules and the cache, the same is found as by looking through all.
        #[test]
        fn cache_finds_what_a_search_finds(
            steps in proptest::collection::vec(
                (0..4u32, proptest::option::of(6..8u8), proptest::option::of(1..20u16), any::<bool>()),
                1..80,
            ),
            ports in proptest::collection::vec(1..20u16, 1..20),
        ) {
            let mut rules = Rules::default();
            let mut plain: Vec<(u32, u32, Rule)> = Vec::new();
            for (priority, protocol, port, remove) in steps {
                if remove && !plain.is_empty() {
                    let (_, id, _) = plain.remove(plain.len() / 2);
                    prop_assert!(rules.remove(id));
                } else {
                    let rule = rule(priority, protocol.map(|p| if p == 7 { 17 } else { p }), port);
                    let id = rules.add(&rule, |_| true, 0).unwrap();
                    plain.push((priority, id, rule));
                }
                for port in &ports {
                    let mut bytes = frame::udp4(b"x");
                    bytes[36..38].copy_from_slice(&port.to_be_bytes());
                    let meets = |rule: &Rule| {
                        (rule.mask.ip_proto == 0 || rule.key.ip_proto == 17)
                            && (rule.mask.dst_port.get() == 0 || rule.key.dst_port.get() == *port)
                    };
                    let mut candidates: Vec<_> =
                        plain.iter().filter(|(.., rule)| meets(rule)).collect();
                    candidates.sort_by_key(|(priority, ..)| *priority);
                    let expected = candidates.first().map(|(_, id, _)| *id as u16);
                    prop_assert_eq!(rules.find(Vport::Uplink, &bytes), expected);
                }
            }
        }
    }
}
