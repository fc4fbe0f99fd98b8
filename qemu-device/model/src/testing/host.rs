// SPDX-License-Identifier: GPL-2.0

//! The fake host.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::host::{
    BusError,
    DmaFault,
    Host,
    PciFn,
    Trace, //
};

/// Bus address of the first byte of memory: not zero, so that null is never good.
const BASE: u64 = 0x10_0000;

/// A machine's memory, interrupts, uplink and clock. All that the device does is recorded.
#[derive(Debug)]
pub struct FakeHost {
    memory: Vec<u8>,
    /// What [`Self::alloc`] has not given out.
    free: u64,
    /// Addresses that nobody, or one PCI function, cannot access.
    faults: Vec<(Option<PciFn>, Range<u64>)>,
    /// Words that the driver writes at the moment at which the device stores one: where the device
    /// stores, where the driver writes, what.
    races: Vec<(u64, u64, u32)>,
    /// Interrupts that were raised, in order.
    pub raised: Vec<(PciFn, u16)>,
    /// Vectors that are masked: an interrupt leaves them pending.
    pub masked: BTreeSet<(PciFn, u16)>,
    /// Vectors that are pending.
    pub pending: BTreeSet<(PciFn, u16)>,
    /// All that functions wrote to memory or tried to: who, address, length. Recorded while it is there.
    pub writes: Option<Vec<(PciFn, u64, usize)>>,
    /// Errors that were reported to the bus, in order.
    pub errors: Vec<(PciFn, BusError)>,
    /// Frames that left through the uplink, in order.
    pub sent: Vec<Vec<u8>>,
    /// Traces, in order.
    pub traces: Vec<Trace>,
    /// Numbers of vectors that VFs were given, in order.
    pub vectors: Vec<(PciFn, u16)>,
    /// Number of times that the uplink was told of room.
    pub uplink_ready: u32,
    /// Whether a run is asked for.
    pub scheduled: bool,
    /// When the timer is to call.
    pub timer: Option<u64>,
    /// The time in nanoseconds.
    pub now: u64,
    /// Number of DMA accesses of any kind.
    pub dma_accesses: u64,
}

impl FakeHost {
    /// Makes a machine with `size` bytes of zeroed memory.
    pub fn new(size: usize) -> Self {
        Self {
            memory: vec![0; size],
            free: BASE,
            faults: Vec::new(),
            races: Vec::new(),
            raised: Vec::new(),
            masked: BTreeSet::new(),
            pending: BTreeSet::new(),
            writes: None,
            errors: Vec::new(),
            sent: Vec::new(),
            traces: Vec::new(),
            vectors: Vec::new(),
            uplink_ready: 0,
            scheduled: false,
            timer: None,
            now: 1_000_000_000,
            dma_accesses: 0,
        }
    }

    /// Gives out zeroed memory, aligned to a page.
    ///
    /// # Panics
    ///
    /// When there is no more.
    pub fn alloc(&mut self, size: usize) -> u64 {
        let addr = self.free;
        self.free = (addr + size as u64).next_multiple_of(0x1000);
        assert!(self.range(addr, size).is_some(), "out of memory");
        addr
    }

    /// Lets accesses to `range` fail: those of one PCI function, or all.
    pub fn break_range(&mut self, function: Option<PciFn>, range: Range<u64>) {
        self.faults.push((function, range));
    }

    /// Takes all of [`Self::break_range`] back.
    pub fn mend(&mut self) {
        self.faults.clear();
    }

    /// Lets the driver write `value` to `addr` right after the device next stores a word to
    /// `store`: so close that neither knows of the other's.
    pub fn race(&mut self, store: u64, addr: u64, value: u32) {
        self.races.push((store, addr, value));
    }

    /// Reads memory as the driver.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn read(&self, addr: u64, buf: &mut [u8]) {
        let range = self.range(addr, buf.len()).expect("no memory there");
        buf.copy_from_slice(&self.memory[range]);
    }

    /// Writes memory as the driver.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn write(&mut self, addr: u64, buf: &[u8]) {
        let range = self.range(addr, buf.len()).expect("no memory there");
        self.memory[range].copy_from_slice(buf);
    }

    /// Reads a word as the driver.
    pub fn read32(&self, addr: u64) -> u32 {
        let mut word = [0; 4];
        self.read(addr, &mut word);
        u32::from_le_bytes(word)
    }

    /// Writes a word as the driver.
    pub fn write32(&mut self, addr: u64, value: u32) {
        self.write(addr, &value.to_le_bytes());
    }

    /// Returns all of memory, as the driver sees it from [`Self::base`] on.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Returns the address of the first byte of memory.
    pub const fn base() -> u64 {
        BASE
    }

    fn range(&self, addr: u64, size: usize) -> Option<Range<usize>> {
        let start = usize::try_from(addr.checked_sub(BASE)?).ok()?;
        let end = start.checked_add(size)?;
        (end <= self.memory.len()).then_some(start..end)
    }

    /// Finds the memory that the device accesses.
    fn dma(&mut self, function: PciFn, addr: u64, size: usize) -> Result<Range<usize>, DmaFault> {
        self.dma_accesses += 1;
        let range = self.range(addr, size).ok_or(DmaFault)?;
        let broken = self.faults.iter().any(|(who, faulty)| {
            who.is_none_or(|who| who == function)
                && addr < faulty.end
                && faulty.start < addr + size as u64
        });
        if broken {
            Err(DmaFault)
        } else {
            Ok(range)
        }
    }
}

impl Host for FakeHost {
    fn dma_read(&mut self, function: PciFn, addr: u64, buf: &mut [u8]) -> Result<(), DmaFault> {
        let range = self.dma(function, addr, buf.len())?;
        buf.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn dma_write(&mut self, function: PciFn, addr: u64, buf: &[u8]) -> Result<(), DmaFault> {
        if let Some(writes) = &mut self.writes {
            writes.push((function, addr, buf.len()));
        }
        let range = self.dma(function, addr, buf.len())?;
        self.memory[range].copy_from_slice(buf);
        Ok(())
    }

    fn dma_load32(&mut self, function: PciFn, addr: u64) -> Result<u32, DmaFault> {
        let mut word = [0; 4];
        self.dma_read(function, addr, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn dma_store32(&mut self, function: PciFn, addr: u64, value: u32) -> Result<(), DmaFault> {
        self.dma_write(function, addr, &value.to_le_bytes())?;
        if let Some(at) = self.races.iter().position(|race| race.0 == addr) {
            let (_, addr, value) = self.races.remove(at);
            self.write32(addr, value);
        }
        Ok(())
    }

    fn is_pending(&self, function: PciFn, vector: u16) -> bool {
        self.pending.contains(&(function, vector))
    }

    fn raise(&mut self, function: PciFn, vector: u16) {
        if self.masked.contains(&(function, vector)) {
            self.pending.insert((function, vector));
            return;
        }
        self.raised.push((function, vector));
    }

    fn report_error(&mut self, function: PciFn, error: BusError) {
        self.errors.push((function, error));
    }

    fn uplink_send(&mut self, frame: &[u8]) {
        self.sent.push(frame.to_vec());
    }

    fn uplink_ready(&mut self) {
        self.uplink_ready += 1;
    }

    fn now_ns(&self) -> u64 {
        self.now
    }

    fn set_timer(&mut self, at_ns: Option<u64>) {
        self.timer = at_ns;
    }

    fn schedule(&mut self) {
        self.scheduled = true;
    }

    fn set_vectors(&mut self, function: PciFn, vectors: u16) {
        self.vectors.push((function, vectors));
    }

    fn trace(&mut self, event: &Trace) {
        self.traces.push(*event);
    }
}
