// SPDX-License-Identifier: GPL-2.0

//! The tree of rates: who may send now, and whose turn it is.
//!
//! Leaves are VFs and SFs, nodes share among what hangs from them. Limits and guaranteed shares are
//! paces: each packet moves a point in time ahead by the time that it takes at the rate, and who is
//! too far ahead of the clock waits, or has had its share. Among equals turns go by start-time fair
//! queueing: the one that would begin earliest in its own time, which passes slower the larger its
//! weight is. Only what is configured is saved; paces start anew.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    Rate,
    RATE_ROOT,
    TRAFFIC_CLASSES, //
};

use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::slot::{
    Slot,
    SLOTS, //
};

/// Largest number of nodes.
pub(crate) const MAX_NODES: u16 = 256;

/// How far a pace may be ahead of the clock, in nanoseconds: the time of a burst.
const BURST_NS: u64 = 5_000_000;
const MAX_WEIGHT: u32 = 200;
const NS_PER_S: u128 = 1_000_000_000;
/// Units of a sharer's own time in which a byte of weight 1 takes.
const BYTE: u64 = 1 << 16;

/// A set of traffic classes, a bit for each.
pub(crate) type Classes = u8;

/// Something that goes no faster than a rate.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// When all that passed would have been through at the rate.
    through: u64,
}

impl Pace {
    /// Returns when something may pass next.
    fn next(&self) -> u64 {
        self.through.saturating_sub(BURST_NS)
    }

    /// Lets bytes pass.
    fn pass(&mut self, bytes: u64, rate: u64, now: u64) {
        if rate != 0 {
            let time = u128::from(bytes) * NS_PER_S / u128::from(rate);
            let time = u64::try_from(time).unwrap_or(u64::MAX);
            self.through = self.through.max(now).saturating_add(time);
        }
    }
}

/// Turns by weight, among siblings or classes: when each would begin, in units of its own time.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    /// When all that it had ends.
    finish: u64,
}

impl Turns {
    /// Returns when its next turn would begin, by the clock of those that it shares with.
    fn start(&self, clock: u64) -> u64 {
        self.finish.max(clock)
    }

    /// Takes a turn.
    fn take(&mut self, clock: &mut u64, bytes: u64, weight: u32) {
        let start = self.start(*clock);
        *clock = start;
        let time = bytes.saturating_mul(BYTE) / u64::from(weight.max(1));
        self.finish = start.saturating_add(time);
    }
}

/// What leaves and nodes have in common.
#[derive(Clone, Debug)]
struct Sharer {
    parent: u16,
    rate: Rate,
    limit: Pace,
    share: Pace,
    turns: Turns,
    classes: [Turns; TRAFFIC_CLASSES],
    /// Clock of the classes.
    class_clock: u64,
}

impl Sharer {
    fn new(parent: u16, rate: Rate) -> Self {
        Self {
            parent,
            rate,
            limit: Pace::default(),
            share: Pace::default(),
            turns: Turns::default(),
            classes: Default::default(),
            class_clock: 0,
        }
    }

    /// Returns whether it may send now; otherwise `wake` becomes when it may, if that is earlier.
    fn may_send(&self, now: u64, wake: &mut Option<u64>) -> bool {
        if self.rate.tx_max.get() == 0 || self.limit.next() <= now {
            return true;
        }
        let next = self.limit.next();
        *wake = Some(wake.map_or(next, |wake| wake.min(next)));
        false
    }

    /// Returns the bytes of a burst.
    fn burst(&self) -> u64 {
        match self.rate.tx_max.get() {
            0 => u64::MAX,
            rate => {
                let bytes = u128::from(rate) * u128::from(BURST_NS) / NS_PER_S;
                u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
            }
        }
    }

    /// Returns by what it comes before its siblings: the smallest comes first.
    fn order(&self, clock: u64, now: u64) -> (u32, bool, u64, u64) {
        let had_share = self.rate.tx_share.get() == 0 || self.share.next() > now;
        (
            u32::MAX - self.rate.priority.get(),
            had_share,
            self.turns.start(clock),
            self.turns.finish,
        )
    }

    /// Returns whether it tells classes apart.
    fn has_classes(&self) -> bool {
        self.rate.tc_bw.iter().any(|share| share.get() != 0)
    }

    /// Returns which of some classes has its turn.
    fn choose_class(&self, classes: Classes) -> Classes {
        if !self.has_classes() {
            return classes;
        }
        let chosen = (0..TRAFFIC_CLASSES)
            .filter(|class| classes & 1 << class != 0)
            .min_by_key(|class| {
                let turns = &self.classes[*class];
                let leftover = self.rate.tc_bw[*class].get() == 0;
                (leftover, turns.start(self.class_clock), turns.finish)
            });
        chosen.map_or(0, |class| 1 << class)
    }

    /// Counts what was sent.
    fn sent(&mut self, class: usize, bytes: u64, clock: &mut u64, now: u64) {
        self.limit.pass(bytes, self.rate.tx_max.get(), now);
        self.share.pass(bytes, self.rate.tx_share.get(), now);
        self.turns.take(clock, bytes, self.rate.weight.get());
        let share = self.rate.tc_bw[class].get();
        if share != 0 {
            self.classes[class].take(&mut self.class_clock, bytes, share);
        }
    }
}

/// A node, or the root.
#[derive(Clone, Debug)]
struct Node {
    sharer: Sharer,
    /// Clock of the turns of what hangs from it.
    clock: u64,
    nodes: Vec<u16>,
    leaves: Vec<Slot>,
}

impl Node {
    fn new() -> Self {
        Self {
            sharer: Sharer::new(RATE_ROOT, Rate::default()),
            clock: 0,
            nodes: Vec::new(),
            leaves: Vec::new(),
        }
    }
}

/// A function.
#[derive(Clone, Debug)]
struct Leaf {
    sharer: Sharer,
    /// Whether anybody asked for a rate.
    is_set: bool,
    /// TX queues that have something to send.
    waiting: u64,
    /// Class of the next packet of each TX queue that waits.
    classes: [u8; 64],
    /// TX queue that is tried first.
    next: u16,
}

impl Leaf {
    fn new(sharer: Sharer) -> Self {
        Self {
            sharer,
            is_set: false,
            waiting: 0,
            classes: [0; 64],
            next: 0,
        }
    }

    /// Returns the TX queues that wait.
    fn queues(&self) -> impl Iterator<Item = u16> + '_ {
        (0..64).filter(|queue| self.waiting & 1 << queue != 0)
    }

    /// Returns the classes of what waits.
    fn classes(&self) -> Classes {
        self.queues()
            .fold(0, |all, queue| all | 1 << self.classes[usize::from(queue)])
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// That of a TX queue of a function.
    Queue(Slot, u16),
    /// Nobody's before this time.
    Wait(u64),
    /// Nobody's.
    Nobody,
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Rates {
    /// The root, and the nodes by their number.
    nodes: Vec<Option<Box<Node>>>,
    /// The leaves by slot; those that nobody needed yet are missing.
    leaves: Vec<Option<Box<Leaf>>>,
    /// Number of leaves with rates that were asked for.
    set: u32,
    /// Number of nodes.
    count: u16,
    /// Number of leaves and nodes that tell classes apart.
    classful: u32,
    /// Number of leaves where something waits.
    waiting: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            nodes: vec![Some(Box::new(Node::new()))],
            leaves: (0..SLOTS).map(|_| None).collect(),
            set: 0,
            count: 0,
            classful: 0,
            waiting: 0,
        }
    }
}

impl Rates {
    /// Returns whether anybody asked for a rate, so that packets have to wait for their turn.
    pub(crate) fn is_active(&self) -> bool {
        self.set > 0
    }

    /// Returns whether traffic classes make a difference.
    pub(crate) fn has_classes(&self) -> bool {
        self.classful > 0
    }

    /// Adds a node. Returns its number.
    pub(crate) fn create(&mut self) -> Result<u16, Status> {
        if self.count >= MAX_NODES {
            return Err(Status::NO_RESOURCE);
        }
        let free = self.nodes.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[at] = Some(Box::new(Node::new()));
        self.count += 1;
        // CAST: no more than there may be.
        self.node_mut(RATE_ROOT).nodes.push(at as u16);
        Ok(at as u16)
    }

    /// Removes a node.
    pub(crate) fn destroy(&mut self, number: u16) -> Result<(), Status> {
        let node = self.find(number)?;
        if !node.nodes.is_empty() || !node.leaves.is_empty() {
            return Err(Status::IN_USE);
        }
        let (parent, classful) = (node.sharer.parent, node.sharer.has_classes());
        self.node_mut(parent).nodes.retain(|other| *other != number);
        self.nodes[usize::from(number)] = None;
        self.count -= 1;
        self.classful -= u32::from(classful);
        Ok(())
    }

    /// Sets the rate of a node.
    pub(crate) fn set_node(&mut self, number: u16, parent: u16, rate: &Rate) -> Result<(), Status> {
        check(rate)?;
        let node = self.find(number)?;
        let (before, classful) = (node.sharer.parent, node.sharer.has_classes());
        self.find_or_root(parent)?;
        let mut above = parent;
        while above != RATE_ROOT {
            if above == number {
                return Err(Status::INVALID_FIELD);
            }
            above = self.node(above).sharer.parent;
        }
        self.node_mut(before).nodes.retain(|other| *other != number);
        self.node_mut(parent).nodes.push(number);
        let sharer = Sharer::new(parent, *rate);
        self.classful -= u32::from(classful);
        self.classful += u32::from(sharer.has_classes());
        self.node_mut(number).sharer = sharer;
        Ok(())
    }

    /// Returns the rate of a node and what it hangs from.
    pub(crate) fn node_rate(&self, number: u16) -> Result<(u16, Rate), Status> {
        let node = self
            .nodes
            .get(usize::from(number))
            .and_then(Option::as_deref)
            .filter(|_| number != RATE_ROOT)
            .ok_or(Status::BAD_STATE)?;
        Ok((node.sharer.parent, node.sharer.rate))
    }

    /// Returns the rate of a function and what it hangs from.
    pub(crate) fn leaf_rate(&self, slot: Slot) -> (u16, Rate) {
        self.leaves[slot.index()]
            .as_deref()
            .map_or((RATE_ROOT, Rate::default()), |leaf| {
                (leaf.sharer.parent, leaf.sharer.rate)
            })
    }

    /// Sets the rate of a function.
    pub(crate) fn set_leaf(&mut self, slot: Slot, parent: u16, rate: &Rate) -> Result<(), Status> {
        check(rate)?;
        self.find_or_root(parent)?;
        let leaf = self.leaf(slot);
        let (before, classful, was_set) =
            (leaf.sharer.parent, leaf.sharer.has_classes(), leaf.is_set);
        leaf.sharer = Sharer::new(parent, *rate);
        // What asks for nothing is as if nobody had asked.
        let asks = |share: &ferrite_abi::wire::U32| share.get() != 0;
        leaf.is_set = parent != RATE_ROOT
            || rate.tx_max.get() != 0
            || rate.tx_share.get() != 0
            || rate.priority.get() != 0
            || rate.weight.get() > 1
            || rate.tc_bw.iter().any(asks);
        let (classful_now, is_set) = (leaf.sharer.has_classes(), leaf.is_set);
        self.classful -= u32::from(classful);
        self.classful += u32::from(classful_now);
        self.set -= u32::from(was_set);
        self.set += u32::from(is_set);
        self.node_mut(before).leaves.retain(|other| *other != slot);
        self.node_mut(parent).leaves.push(slot);
        Ok(())
    }

    /// Returns the rate of a function.
    pub(crate) fn rate_of(&self, slot: Slot) -> Rate {
        let leaf = self.leaves[slot.index()].as_deref();
        leaf.map_or_else(Rate::default, |leaf| leaf.sharer.rate)
    }

    /// Returns whether somebody asked for a rate of a function.
    pub(crate) fn has_rate(&self, slot: Slot) -> bool {
        let leaf = self.leaves[slot.index()].as_deref();
        leaf.is_some_and(|leaf| leaf.is_set)
    }

    /// Forgets a function.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.stop(slot);
        let Some(leaf) = self.leaves[slot.index()].take() else {
            return;
        };
        self.set -= u32::from(leaf.is_set);
        self.classful -= u32::from(leaf.sharer.has_classes());
        self.node_mut(leaf.sharer.parent)
            .leaves
            .retain(|other| *other != slot);
    }

    /// Lets nothing of a function wait any more.
    pub(crate) fn stop(&mut self, slot: Slot) {
        if let Some(leaf) = self.leaves[slot.index()].as_deref_mut() {
            self.waiting -= u32::from(leaf.waiting != 0);
            leaf.waiting = 0;
        }
    }

    /// Lets a TX queue of a function wait for its turn; `class` is that of its next packet.
    pub(crate) fn wait(&mut self, slot: Slot, queue: u16, class: u8) {
        let leaf = self.leaf(slot);
        let was_idle = leaf.waiting == 0;
        leaf.waiting |= 1 << queue;
        leaf.classes[usize::from(queue)] = class;
        self.waiting += u32::from(was_idle);
    }

    /// Takes a TX queue out of those that wait. `sent` is what it sent, and in which class.
    pub(crate) fn served(&mut self, slot: Slot, queue: u16, sent: u64, now: u64) {
        let leaf = self.leaf(slot);
        let class = usize::from(leaf.classes[usize::from(queue)]);
        let waited = leaf.waiting != 0;
        leaf.waiting &= !(1 << queue);
        let idle = leaf.waiting == 0;
        leaf.next = queue + 1;
        self.waiting -= u32::from(waited && idle);
        if sent == 0 {
            return;
        }
        let mut above = self.leaf(slot).sharer.parent;
        let mut clock = self.node(above).clock;
        self.leaf(slot).sharer.sent(class, sent, &mut clock, now);
        self.node_mut(above).clock = clock;
        while above != RATE_ROOT {
            let parent = self.node(above).sharer.parent;
            let mut clock = self.node(parent).clock;
            self.node_mut(above)
                .sharer
                .sent(class, sent, &mut clock, now);
            self.node_mut(parent).clock = clock;
            above = parent;
        }
    }

    /// Returns how many bytes of a function may pass at once without going beyond a burst of what
    /// limits it.
    pub(crate) fn burst(&self, slot: Slot) -> u64 {
        let Some(leaf) = self.leaves[slot.index()].as_deref() else {
            return u64::MAX;
        };
        let mut sharer = &leaf.sharer;
        let mut burst = sharer.burst();
        while sharer.parent != RATE_ROOT {
            sharer = &self.node(sharer.parent).sharer;
            burst = burst.min(sharer.burst());
        }
        burst
    }

    /// Returns whose turn it is.
    pub(crate) fn pick(&self, now: u64) -> Pick {
        if self.waiting == 0 {
            return Pick::Nobody;
        }
        let mut wake = None;
        let mut classes = self.eligible(RATE_ROOT, now, &mut wake);
        let mut at = RATE_ROOT;
        while classes != 0 {
            let node = self.node(at);
            classes = node.sharer.choose_class(classes);
            let mut best = None;
            for number in &node.nodes {
                let there = self.eligible(*number, now, &mut wake) & classes;
                let order = self.node(*number).sharer.order(node.clock, now);
                consider(&mut best, order, there, Below::Node(*number));
            }
            for slot in &node.leaves {
                let there = self.eligible_leaf(*slot, now, &mut wake) & classes;
                if let Some(leaf) = self.leaves[slot.index()].as_deref().filter(|_| there != 0) {
                    let order = leaf.sharer.order(node.clock, now);
                    consider(&mut best, order, there, Below::Leaf(*slot));
                }
            }
            match best {
                Some((_, there, Below::Node(number))) => (at, classes) = (number, there),
                Some((_, there, Below::Leaf(slot))) => return self.pick_queue(slot, there),
                None => break,
            }
        }
        wake.map_or(Pick::Nobody, Pick::Wait)
    }

    /// Returns the classes in which something below a node may be sent now.
    fn eligible(&self, number: u16, now: u64, wake: &mut Option<u64>) -> Classes {
        let node = self.node(number);
        let nodes = node.nodes.iter();
        let below = nodes.fold(0, |all, number| all | self.eligible(*number, now, wake));
        let leaves = node.leaves.iter();
        let below = leaves.fold(below, |all, slot| {
            all | self.eligible_leaf(*slot, now, wake)
        });
        if below != 0 && node.sharer.may_send(now, wake) {
            below
        } else {
            0
        }
    }

    /// Returns the classes in which a function may send now.
    fn eligible_leaf(&self, slot: Slot, now: u64, wake: &mut Option<u64>) -> Classes {
        match self.leaves[slot.index()].as_deref() {
            Some(leaf) if leaf.waiting != 0 && leaf.sharer.may_send(now, wake) => leaf.classes(),
            _ => 0,
        }
    }

    /// Returns whose turn it is among the queues of a function that have packets of some classes.
    fn pick_queue(&self, slot: Slot, classes: Classes) -> Pick {
        let Some(leaf) = self.leaves[slot.index()].as_deref() else {
            return Pick::Nobody;
        };
        let classes = leaf.sharer.choose_class(classes);
        let has_turn = |queue: &u16| classes & 1 << leaf.classes[usize::from(*queue)] != 0;
        let later = leaf
            .queues()
            .filter(has_turn)
            .find(|queue| *queue >= leaf.next);
        let queue = later.or_else(|| leaf.queues().find(has_turn));
        queue.map_or(Pick::Nobody, |queue| Pick::Queue(slot, queue))
    }

    /// Returns a node that there is.
    fn find(&self, number: u16) -> Result<&Node, Status> {
        if number == RATE_ROOT {
            return Err(Status::BAD_STATE);
        }
        self.find_or_root(number)
    }

    /// Returns a node that there is, or the root.
    fn find_or_root(&self, number: u16) -> Result<&Node, Status> {
        let node = self.nodes.get(usize::from(number));
        node.and_then(Option::as_deref).ok_or(Status::BAD_STATE)
    }

    /// Returns a node that is known to be there.
    fn node(&self, number: u16) -> &Node {
        // PANIC: whoever names a node has seen it, and it is not removed while something hangs
        // from it.
        self.nodes[usize::from(number)].as_deref().expect("node")
    }

    /// Returns a node that is known to be there, to change it.
    fn node_mut(&mut self, number: u16) -> &mut Node {
        // PANIC: as for `node`.
        self.nodes[usize::from(number)]
            .as_deref_mut()
            .expect("node")
    }

    /// Returns the leaf of a function, which hangs from the root if it is new.
    fn leaf(&mut self, slot: Slot) -> &mut Leaf {
        if self.leaves[slot.index()].is_none() {
            self.node_mut(RATE_ROOT).leaves.push(slot);
        }
        self.leaves[slot.index()]
            .get_or_insert_with(|| Box::new(Leaf::new(Sharer::new(RATE_ROOT, Rate::default()))))
    }

    /// Checks what was loaded; `is_there` tells whether there is a function that can have a rate.
    pub(crate) fn check(&self, is_there: impl Fn(Slot) -> bool) -> Result<(), LoadError> {
        let leaves = self.leaves.iter().enumerate();
        for (at, _) in leaves.filter(|(_, leaf)| leaf.is_some()) {
            if !Slot::from_index(at).is_some_and(&is_there) {
                return Err(LoadError::Invalid("rate"));
            }
        }
        Ok(())
    }
}

/// Where the way down the tree goes on.
#[derive(Clone, Copy, Debug)]
enum Below {
    Node(u16),
    Leaf(Slot),
}

type Order = (u32, bool, u64, u64);

/// Keeps what comes first, of those that have something in some class.
fn consider(
    best: &mut Option<(Order, Classes, Below)>,
    order: Order,
    there: Classes,
    below: Below,
) {
    if there != 0 && best.is_none_or(|(first, ..)| order < first) {
        *best = Some((order, there, below));
    }
}

/// Checks a rate.
fn check(rate: &Rate) -> Result<(), Status> {
    let sum: u64 = rate.tc_bw.iter().map(|share| u64::from(share.get())).sum();
    if rate.weight.get() > MAX_WEIGHT || ![0, 100].contains(&sum) {
        return Err(Status::INVALID_FIELD);
    }
    Ok(())
}

impl Saved for Rates {
    fn save(&self, writer: &mut Writer) {
        // CAST: no more nodes than there may be.
        (self.nodes.len() as u16).save(writer);
        for node in self.nodes.iter().skip(1) {
            let node = node.as_deref().map(|node| &node.sharer);
            node.map(|sharer| (sharer.parent, sharer.rate)).save(writer);
        }
        let leaves: Vec<(Slot, (u16, Rate))> = self
            .leaves
            .iter()
            .enumerate()
            .filter_map(|(at, leaf)| {
                let leaf = leaf.as_deref().filter(|leaf| leaf.is_set)?;
                Some((
                    Slot::from_index(at)?,
                    (leaf.sharer.parent, leaf.sharer.rate),
                ))
            })
            .collect();
        leaves.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let invalid = LoadError::Invalid("rate");
        let mut rates = Self::default();
        let nodes = u16::load(reader)?;
        if nodes == 0 || nodes > MAX_NODES + 1 {
            return Err(invalid);
        }
        let mut settings = Vec::new();
        for number in 1..nodes {
            let setting: Option<(u16, Rate)> = Option::load(reader)?;
            let node = setting.is_some().then(|| Box::new(Node::new()));
            rates.count += u16::from(node.is_some());
            rates.nodes.push(node);
            if let Some((parent, rate)) = setting {
                rates.node_mut(RATE_ROOT).nodes.push(number);
                settings.push((number, parent, rate));
            }
        }
        for (number, parent, rate) in settings {
            rates.set_node(number, parent, &rate).map_err(|_| invalid)?;
        }
        let leaves: Vec<(Slot, (u16, Rate))> = Vec::load(reader)?;
        for (slot, (parent, rate)) in leaves {
            rates.set_leaf(slot, parent, &rate).map_err(|_| invalid)?;
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests;
