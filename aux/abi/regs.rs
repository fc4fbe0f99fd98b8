// SPDX-License-Identifier: GPL-2.0

//! Registers of a PCI function, in [`BAR_REGS`](crate::bar::BAR_REGS).
//!
//! All are 32 bits wide and are accessed as such, aligned; other accesses read as all ones and
//! write nothing. Offsets without a register read as zero. A function in reset, or whose device is
//! gone, reads as all ones everywhere, which no register can hold while [`Magic`] is right.

/// Who may do what with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only; writes are ignored.
    Ro,
    /// Read and write.
    Rw,
    /// Write only; reads as zero.
    Wo,
}

/// What a table of registers says of one of them.
#[derive(Clone, Copy, Debug)]
pub struct RegisterInfo {
    /// Name of its type.
    pub name: &'static str,
    /// Offset in the BAR, in bytes.
    pub offset: u32,
    /// Access kind.
    pub access: Access,
    /// Value after reset; where `None`, it depends on the device.
    pub reset: Option<u32>,
    /// Fields: name, highest bit, lowest bit.
    pub fields: &'static [(&'static str, u8, u8)],
}

impl RegisterInfo {
    /// Returns whether it belongs to the driver of its function, and not to who moves the function.
    pub const fn is_drivers(&self) -> bool {
        self.offset < crate::bar::VF_CONTROLS_OFFSET
    }
}

/// A register: its offset, its reset value, and conversion from and to what the bus carries.
pub trait Register: Copy {
    /// What the table says of it.
    const INFO: RegisterInfo;
    /// Offset in the BAR, in bytes.
    const OFFSET: u32 = Self::INFO.offset;

    /// Wraps a value that was read.
    fn from_raw(raw: u32) -> Self;
    /// Returns the value to write.
    fn raw(self) -> u32;
}

/// Mask of `hi - lo + 1` bits at bit 0.
const fn mask(hi: u8, lo: u8) -> u32 {
    (u32::MAX >> (31 - hi)) >> lo
}

macro_rules! reset {
    (device) => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! registers {
    ($(
        $(#[doc = $doc:literal])*
        $offset:literal $name:ident: $access:ident, reset $reset:tt {
            $( $(#[doc = $fdoc:literal])* $hi:literal : $lo:literal $field:ident, $with:ident; )*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $name(pub u32);

            impl $name {
                $(
                    $(#[doc = $fdoc])*
                    pub const fn $field(self) -> u32 {
                        (self.0 >> $lo) & mask($hi, $lo)
                    }

                    /// Returns the register with this field set; excess bits are cut off.
                    #[must_use]
                    pub const fn $with(self, value: u32) -> Self {
                        let mask = mask($hi, $lo);
                        Self(self.0 & !(mask << $lo) | (value & mask) << $lo)
                    }
                )*
            }

            impl Register for $name {
                const INFO: RegisterInfo = RegisterInfo {
                    name: stringify!($name),
                    offset: $offset,
                    access: Access::$access,
                    reset: reset!($reset),
                    fields: &[$( (stringify!($field), $hi, $lo) ),*],
                };

                fn from_raw(raw: u32) -> Self {
                    Self(raw)
                }

                fn raw(self) -> u32 {
                    self.0
                }
            }
        )*

        /// Every register, by ascending offset.
        pub const REGISTERS: &[RegisterInfo] = &[$( $name::INFO ),*];
    };
}

registers! {
    /// Tells that this is a Ferrite function: the ASCII bytes `FERR`.
    0x000 Magic: Ro, reset 0x5252_4546 {
        /// The four bytes.
        31:0 value, with_value;
    }
    /// Version of the contract, [`crate::ABI_VERSION`].
    0x004 AbiVersion: Ro, reset 0x0001_0002 {
        /// Incompatible changes.
        31:16 major, with_major;
        /// Compatible additions.
        15:0 minor, with_minor;
    }
    /// Which function this is.
    0x008 Function: Ro, reset device {
        /// [`FunctionId`](crate::ids::FunctionId).
        15:0 id, with_id;
    }
    /// Sizes that depend on how the device was set up.
    0x00c Limits: Ro, reset device {
        /// Number of MSI-X vectors.
        31:16 vectors, with_vectors;
        /// Number of doorbell pages.
        15:0 doorbell_pages, with_doorbell_pages;
    }
    /// Low half of [`Features`].
    0x010 FeaturesLo: Ro, reset device {
        /// Bits 31:0.
        31:0 bits, with_bits;
    }
    /// High half of [`Features`].
    0x014 FeaturesHi: Ro, reset device {
        /// Bits 63:32.
        31:0 bits, with_bits;
    }
    /// State of the function.
    0x018 Status: Ro, reset device {
        /// The device stopped after an error that only a reset mends; see [`SyndromeCode`].
        2:2 fatal, with_fatal;
        /// A reset is under way.
        1:1 resetting, with_resetting;
        /// The function may be used.
        0:0 ready, with_ready;
    }
    /// Commands to the function as a whole.
    0x01c Control: Wo, reset 0x0 {
        /// Write 1 to reset the function: its queues, filters and event queue are gone, its
        /// provisioned identity stays. [`Status`] tells when it is over.
        0:0 reset, with_reset;
    }
    /// Counts ten times a second while the firmware lives.
    0x020 Heartbeat: Ro, reset device {
        /// The count, modulo 2^32 - 1, so that it never reads as all ones.
        31:0 count, with_count;
    }
    /// Why the device is in the fatal state.
    0x024 SyndromeCode: Ro, reset 0x0 {
        /// [`Syndrome`](crate::event::Syndrome).
        31:0 code, with_code;
    }
    /// Holds what is written, to test the bus.
    0x028 Scratch: Rw, reset 0x0 {
        /// Any value.
        31:0 value, with_value;
    }
    /// Reads as the complement of [`Scratch`].
    0x02c ScratchNot: Ro, reset 0xffff_ffff {
        /// The complement.
        31:0 value, with_value;
    }
    /// Version of the running firmware.
    0x030 FirmwareVersion: Ro, reset device {
        /// Major.
        31:24 major, with_major;
        /// Minor.
        23:16 minor, with_minor;
        /// Patch.
        15:0 patch, with_patch;
    }
    /// Bus address of the admin submission ring, bits 31:0. Aligned to 64 bytes. Written while the
    /// admin queue is disabled, as are all registers up to [`AdminVector`].
    0x100 AdminSqBaseLo: Rw, reset 0x0 {
        /// The bits.
        31:0 addr, with_addr;
    }
    /// Bus address of the admin submission ring, bits 63:32.
    0x104 AdminSqBaseHi: Rw, reset 0x0 {
        /// The bits.
        31:0 addr, with_addr;
    }
    /// Bus address of the admin completion ring, bits 31:0. Aligned to 64 bytes.
    0x108 AdminCqBaseLo: Rw, reset 0x0 {
        /// The bits.
        31:0 addr, with_addr;
    }
    /// Bus address of the admin completion ring, bits 63:32.
    0x10c AdminCqBaseHi: Rw, reset 0x0 {
        /// The bits.
        31:0 addr, with_addr;
    }
    /// Depth of both admin rings.
    0x110 AdminSize: Rw, reset 0x0 {
        /// Logarithm of the number of entries, 4 to 8.
        3:0 depth_log2, with_depth_log2;
    }
    /// Interrupt of admin completions. Written at any time.
    0x114 AdminVector: Rw, reset 0x0 {
        /// 1: raise the vector after completions were written. 0: the driver polls.
        31:31 enable, with_enable;
        /// MSI-X vector.
        15:0 vector, with_vector;
    }
    /// Turns the admin queue on and off.
    0x118 AdminControl: Rw, reset 0x0 {
        /// 0 to 1: both indices start at zero. 1 to 0: no admin DMA after the write returns;
        /// commands under way are aborted without completion.
        0:0 enable, with_enable;
    }
    /// State of the admin queue.
    0x11c AdminStatus: Ro, reset 0x0 {
        /// [`AdminError`], 0 while all is well.
        15:8 error, with_error;
        /// The queue runs.
        0:0 enabled, with_enabled;
    }
    /// Doorbell: tail of the admin submission ring.
    0x120 AdminSqTail: Wo, reset 0x0 {
        /// Free-running index.
        31:0 index, with_index;
    }
    /// Tells how far the driver has read the admin completion ring. The device writes no
    /// completion into a slot that is still unread.
    0x124 AdminCqHead: Wo, reset 0x0 {
        /// Free-running index.
        31:0 index, with_index;
    }
    /// Tells how far the driver has read the event queue. While the queue is full, events are
    /// counted and dropped: the sequence number of the next one shows the gap.
    0x128 EventHead: Wo, reset 0x0 {
        /// Free-running index.
        31:0 index, with_index;
    }
    /// Suspends a VF, and resumes it. It is there only where
    /// [`MigrationCaps::VF_CONTROLS`](crate::cmd::MigrationCaps::VF_CONTROLS) says so.
    0x2000 MigrationControl: Rw, reset 0x0 {
        /// [`SuspendLevel`](crate::cmd::SuspendLevel).
        1:0 level, with_level;
    }
}

crate::wire::codes! {
    /// Why the admin queue does not run, in [`AdminStatus`].
    pub struct AdminError(u8) {
        /// It runs, or was never turned on.
        NONE = 0;
        /// Turned on with a depth out of range or a misaligned or null base.
        BAD_SETUP = 1;
        /// The tail is further ahead than the ring is deep.
        BAD_TAIL = 2;
        /// A ring could not be read or written.
        DMA_FAULT = 3;
        /// Turned on while the function is inactive.
        INACTIVE = 4;
    }
}

crate::wire::codes! {
    /// What the function can do, in [`FeaturesLo`] and [`FeaturesHi`].
    pub struct Features(u64) {
        /// TX checksum insertion.
        CSUM_TX = 1 << 0;
        /// RX checksum validation.
        CSUM_RX = 1 << 1;
        /// Several descriptors a packet, both ways.
        SCATTER_GATHER = 1 << 2;
        /// Receive side scaling.
        RSS = 1 << 3;
        /// TCP and UDP segmentation.
        TSO = 1 << 4;
        /// VLAN insertion and stripping.
        VLAN = 1 << 5;
        /// Joining of received TCP segments.
        COALESCE = 1 << 6;
        /// Time stamps.
        TIMESTAMP = 1 << 7;
        /// Contexts of receive side scaling, each with its own choice of fields and transformation.
        RSS_CONTEXTS = 1 << 8;
        /// Filters that choose the RX queue.
        FILTERS = 1 << 9;
        /// Counters of frames by kind and length.
        FRAME_COUNTERS = 1 << 10;
        /// A port can be turned around.
        LOOPBACK = 1 << 11;
        /// Splitting of received TCP segments from their headers.
        HEADER_SPLIT = 1 << 12;
        /// VFs can be provisioned. PF only, as are all that follow but `VIRTIO`.
        SRIOV = 1 << 16;
        /// SFs can be provisioned.
        SUB_FUNCTIONS = 1 << 17;
        /// The embedded switch follows rules.
        SWITCHDEV = 1 << 18;
        /// Functions can be virtio-net devices.
        VIRTIO = 1 << 19;
        /// VFs can be suspended, saved and loaded.
        MIGRATION = 1 << 20;
        /// Writes of a VF to memory can be logged.
        DMA_LOG = 1 << 21;
        /// Firmware images can be written.
        FLASH = 1 << 22;
        /// Packets that are dropped are counted by cause, and can be handed to the driver.
        TRAPS = 1 << 23;
        /// The last commands before the firmware stopped are kept.
        CRASH_DUMP = 1 << 24;
        /// Faults can be injected.
        FAULTS = 1 << 32;
    }
}

impl Features {
    /// Returns the low and the high register.
    pub const fn split(self) -> (FeaturesLo, FeaturesHi) {
        (FeaturesLo(self.0 as u32), FeaturesHi((self.0 >> 32) as u32))
    }

    /// Puts both registers together.
    pub const fn join(lo: FeaturesLo, hi: FeaturesHi) -> Self {
        Self((hi.0 as u64) << 32 | lo.0 as u64)
    }
}
