// SPDX-License-Identifier: GPL-2.0

//! How a device is set up when it is made. None of it changes later.

use std::fmt;

use ferrite_abi::ids::{
    MAX_QUEUES,
    MAX_SFS,
    MAX_VECTORS,
    MAX_VFS, //
};
use ferrite_abi::regs::{
    Features,
    FirmwareVersion, //
};

use crate::faults::{
    Script,
    ScriptError, //
};
use crate::host::PciFn;
use crate::mac::Mac;

/// Version of the firmware that the model is.
pub const FIRMWARE: FirmwareVersion = FirmwareVersion(0).with_major(1).with_minor(0).with_patch(0);
/// Name of the ASIC that the model is.
pub const ASIC: &str = "ferrite-1";
/// Revision of the ASIC that the model is.
pub(crate) const ASIC_REVISION: u16 = 1;
/// Firmware slots of the board.
pub(crate) const FIRMWARE_SLOTS: u16 = 2;

/// How many times the vectors that a VF comes with it can be given.
const VF_VECTORS_FACTOR: u32 = 4;

/// Set-up of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// MAC address of the PF. VFs and SFs are provisioned with addresses derived from it.
    pub mac: [u8; 6],
    /// Largest number of TX queues, and of RX queues, of each function.
    pub num_queues: u16,
    /// Largest number of VFs.
    pub max_vfs: u16,
    /// Largest number of SFs.
    pub max_sfs: u16,
    /// MSI-X vectors of the PF.
    pub pf_vectors: u16,
    /// MSI-X vectors that each VF comes with.
    pub vf_vectors: u16,
    /// Whether VFs can be suspended and resumed by registers of their own.
    pub vf_controls: bool,
    /// Whether faults can be injected.
    pub faults: bool,
    /// Faults that are armed from the start, as [`Script`] reads them.
    pub fault_script: String,
    /// Serial number of the board, ASCII.
    pub serial: String,
    /// Identity of this very device: an RFC 4122 UUID in network order.
    pub uuid: [u8; 16],
    /// Speed of the uplink in Mbit/s.
    pub speed: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56],
            num_queues: 8,
            max_vfs: 16,
            max_sfs: 512,
            pf_vectors: 256,
            vf_vectors: 16,
            vf_controls: false,
            faults: false,
            fault_script: String::new(),
            serial: String::from("FERRITE0000"),
            uuid: [0; 16],
            speed: 25_000,
        }
    }
}

impl Config {
    /// Checks that a device can be made like this, and reads the fault script.
    pub(crate) fn check(&self) -> Result<Script, ConfigError> {
        let range = |name, value: u16, least: u16, most: u16| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Range {
                    name,
                    value,
                    least,
                    most,
                })
            }
        };
        range("num_queues", self.num_queues, 1, MAX_QUEUES)?;
        range("max_vfs", self.max_vfs, 0, MAX_VFS)?;
        range("max_sfs", self.max_sfs, 0, MAX_SFS)?;
        range("vectors", self.pf_vectors, 2, MAX_VECTORS)?;
        range("vf_vectors", self.vf_vectors, 2, MAX_VECTORS)?;
        if !Mac(self.mac).is_station() {
            return Err(ConfigError::Mac(self.mac));
        }
        if self.serial.len() > 32 || !self.serial.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::Serial);
        }
        self.read_script(&self.fault_script)
    }

    /// Reads a fault script.
    pub(crate) fn read_script(&self, text: &str) -> Result<Script, ConfigError> {
        let script: Script = text.parse().map_err(ConfigError::FaultScript)?;
        if !self.faults && !script.is_empty() {
            return Err(ConfigError::FaultsOff);
        }
        Ok(script)
    }

    /// Returns the features of a PCI function.
    pub fn features(&self, function: PciFn) -> Features {
        let mut features = Features::CSUM_TX
            .with(Features::CSUM_RX)
            .with(Features::SCATTER_GATHER)
            .with(Features::RSS)
            .with(Features::TSO)
            .with(Features::VLAN)
            .with(Features::COALESCE)
            .with(Features::TIMESTAMP)
            .with(Features::RSS_CONTEXTS)
            .with(Features::FILTERS)
            .with(Features::FRAME_COUNTERS)
            .with(Features::LOOPBACK)
            .with(Features::HEADER_SPLIT)
            .with(Features::VIRTIO);
        if function == PciFn::PF {
            if self.max_vfs > 0 {
                features = features
                    .with(Features::SRIOV)
                    .with(Features::MIGRATION)
                    .with(Features::DMA_LOG);
            }
            features = features
                .with(Features::SWITCHDEV)
                .with(Features::FLASH)
                .with(Features::TRAPS)
                .with(Features::CRASH_DUMP);
            if self.max_sfs > 0 {
                features = features.with(Features::SUB_FUNCTIONS);
            }
            if self.faults {
                features = features.with(Features::FAULTS);
            }
        }
        features
    }

    /// Returns the number of MSI-X vectors that all VFs have together.
    pub(crate) fn total_vf_vectors(&self) -> u32 {
        u32::from(self.max_vfs) * u32::from(self.vf_vectors)
    }

    /// Returns the largest number of MSI-X vectors that a VF can be given.
    pub fn max_vf_vectors(&self) -> u16 {
        // CAST: no more than the largest number of vectors.
        self.total_vf_vectors()
            .min(u32::from(self.vf_vectors) * VF_VECTORS_FACTOR)
            .min(MAX_VECTORS.into()) as u16
    }

    /// Returns the number of MSI-X vectors that a PCI function comes with.
    pub fn vectors(&self, function: PciFn) -> u16 {
        match function.vf_index() {
            None => self.pf_vectors,
            Some(_) => self.vf_vectors,
        }
    }
}

/// Why a device cannot be made as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A number is out of range.
    Range {
        /// Name of the property.
        name: &'static str,
        /// What it was set to.
        value: u16,
        /// Smallest value.
        least: u16,
        /// Largest value.
        most: u16,
    },
    /// The MAC address is zero or multicast.
    Mac([u8; 6]),
    /// The serial number is longer than 32 bytes or not printable ASCII.
    Serial,
    /// The fault script cannot be read.
    FaultScript(ScriptError),
    /// There is a fault script, but faults are off.
    FaultsOff,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range {
                name,
                value,
                least,
                most,
            } => {
                write!(f, "{name} is {value}, must be {least} to {most}")
            }
            Self::Mac(mac) => write!(f, "mac {} is zero or multicast", Mac(*mac)),
            Self::Serial => {
                f.write_str("serial must be printable ASCII without blanks, 32 bytes at most")
            }
            Self::FaultScript(error) => write!(f, "fault_script: {error}"),
            Self::FaultsOff => f.write_str("fault_script needs faults=on"),
        }
    }
}

impl std::error::Error for ConfigError {}
