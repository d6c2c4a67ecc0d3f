//! What monitor and child processes say over the socket, beside which descriptors travel.
//!
//! Rare, so JSON, as parcels; each names how many descriptors belong to it, and the receiver
//! checks that count before it takes one.

use serde::{Deserialize, Serialize};

use crate::cell::{Limits, Mode};

/// A folder handed to a cell; its descriptor is the next of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderHead {
    /// The name that the guest sees.
    pub guest: String,
    /// No call changes anything in it.
    pub read_only: bool,
}

/// Environment and folders of a function.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SettingsHead {
    /// Arguments of a WASI command.
    pub args: Vec<String>,
    /// Environment, secrets among it.
    pub env: Vec<(String, String)>,
    /// Folders, each with a descriptor.
    pub folders: Vec<FolderHead>,
}

/// From the monitor to a cell.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Begin. Descriptors: a ring's memory and bell for each worker, those of incomplete images
    /// last, then the board of their faults.
    Start {
        /// Whose cell it is.
        tenant: String,
        /// Worker threads.
        workers: u32,
        /// Worker threads beside them, for forks of images that are not whole.
        filling_workers: u32,
        /// Slots of each worker.
        slots: u32,
        /// Memory that its values may take on this host.
        state_bytes: u64,
    },
    /// A function. Descriptors: artefact, module as uploaded, a blob of plan and image head, the
    /// image's memory if it has one, then a folder each.
    Function(Box<FunctionHead>),
    /// New environment and folders. Descriptors: a folder each.
    Settings {
        /// The function.
        number: u32,
        /// What they are.
        settings: SettingsHead,
    },
    /// The image of a function is whole: its new slots need no pager.
    Whole {
        /// The function.
        number: u32,
    },
    /// Forget a function once its calls have ended.
    Remove {
        /// The function.
        number: u32,
    },
}

/// See [`Order::Function`].
#[derive(Debug, Serialize, Deserialize)]
pub struct FunctionHead {
    /// Its number in this cell.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// What it may use.
    pub limits: Limits,
    /// How a call goes in that does not say.
    pub mode: Mode,
    /// Environment and folders.
    pub settings: SettingsHead,
    /// Length of the plan in the blob; the rest is the image's head.
    pub plan_bytes: usize,
    /// The image's memory is among the descriptors.
    pub image: bool,
    /// It is not whole: the pager fills it.
    pub filling: bool,
}

/// From a cell to the monitor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// It is jailed and its workers run. Descriptors: a userfaultfd for each worker of images that
    /// are not whole, or none where it cannot have one.
    Ready {
        /// What the jail could not give on this machine.
        missing: Vec<String>,
        /// Time that entering the jail took.
        jail_us: u64,
        /// Time that making the engine and starting the workers took.
        engine_us: u64,
    },
    /// A function can be called.
    Added {
        /// The function.
        number: u32,
        /// Time that loading the artefact took.
        artefact_us: u64,
        /// Time that taking the image over took.
        image_us: u64,
    },
    /// Its environment and folders are the new ones for calls that come from now on.
    Changed {
        /// The function.
        number: u32,
    },
    /// It cannot.
    Failed {
        /// The function.
        number: u32,
        /// Why.
        message: String,
    },
}
