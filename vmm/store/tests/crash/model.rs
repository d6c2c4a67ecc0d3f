//! What a store should hold, and what is done to it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use faaslet_store::{
    BlobKind, Deployment, FunctionName, GcRule, Hash, ImageRef, Mode, Settings, Store,
};

/// Old versions that a collection keeps here.
const OLD_VERSIONS: usize = 1;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Deploy content to a function.
    Deploy(u32, u64),
    /// Point it to another version.
    Rollback(u32, u64),
    /// Set its settings.
    Settings(u32, u64),
    /// Remove it.
    Remove(u32),
    /// Collect.
    Gc,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deploy(function, content) => write!(f, "deploy {function} {content} ."),
            Self::Rollback(function, version) => write!(f, "rollback {function} {version} ."),
            Self::Settings(function, number) => write!(f, "settings {function} {number} ."),
            Self::Remove(function) => write!(f, "remove {function} 0 ."),
            Self::Gc => write!(f, "gc 0 0 ."),
        }
    }
}

impl Op {
    /// Reads a whole line; the full stop tells that it was not cut.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [word, function, number, "."] = words[..] else { return None };
        let (function, number) = (function.parse().ok()?, number.parse().ok()?);
        Some(match word {
            "deploy" => Self::Deploy(function, number),
            "rollback" => Self::Rollback(function, number),
            "settings" => Self::Settings(function, number),
            "remove" => Self::Remove(function),
            "gc" => Self::Gc,
            _ => return None,
        })
    }
}

/// A function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) current: Option<u64>,
    /// Content of each version.
    pub(crate) versions: BTreeMap<u64, u64>,
    pub(crate) settings: u64,
    /// The next version; a store does not tell it.
    pub(crate) next: u64,
}

/// All functions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) functions: BTreeMap<u32, Function>,
    pub(crate) acknowledged: u64,
}

pub(crate) fn name(function: u32) -> FunctionName {
    FunctionName::new("acme", &format!("f{function}")).unwrap()
}

/// Some bytes that follow from content and kind.
pub(crate) fn bytes(kind: BlobKind, content: u64) -> Vec<u8> {
    let text = format!("{kind} {content} ");
    let length = 1 + (content % 7) as usize * 9_000;
    text.bytes().cycle().take(text.len() + length).collect()
}

/// The deployment of some content; the content is its timeout too, so that it can be told.
pub(crate) fn deployment(content: u64) -> Deployment {
    let hash = |kind| Hash::of(&bytes(kind, content));
    let blob = hash(BlobKind::Image);
    Deployment {
        module: hash(BlobKind::Module),
        artefact: hash(BlobKind::Artefact),
        plan: hash(BlobKind::Plan),
        image: (!content.is_multiple_of(3)).then_some(ImageRef { id: blob, blob }),
        base: None,
        engine: Hash::default(),
        kept: None,
        mode: Mode::Fork,
        memory_bytes: 1,
        timeout_ms: content,
        concurrency: 1,
        folders: Vec::new(),
        args: Vec::new(),
    }
}

pub(crate) fn settings(number: u64) -> Settings {
    Settings { env: BTreeMap::from([("N".to_owned(), number.to_string())]), ..Settings::default() }
}

pub(crate) fn gc_rule() -> GcRule {
    GcRule { old_versions: OLD_VERSIONS, grace: Duration::ZERO, budget_bytes: None }
}

impl Model {
    /// What a store holds. Each version must be what its content says.
    pub(crate) fn of(store: &Store) -> Self {
        let mut functions = BTreeMap::new();
        for info in store.functions(None).unwrap() {
            let number = info.function.name.as_str()[1..].parse().unwrap();
            let mut versions = BTreeMap::new();
            for version in store.versions(&info.function).unwrap() {
                let content = version.deployment.timeout_ms;
                assert_eq!(version.deployment, deployment(content));
                versions.insert(version.version, content);
            }
            let settings = store.settings(&info.function).unwrap();
            let settings = settings.env.get("N").map_or(0, |number| number.parse().unwrap());
            assert_eq!(store.current(&info.function).unwrap().version, info.current);
            let current = Some(info.current);
            functions.insert(number, Function { current, versions, settings, next: 0 });
        }
        Self { functions, acknowledged: 0 }
    }

    /// Whether both hold the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let visible = |model: &Self| {
            let mut functions = model.functions.clone();
            functions.retain(|_, function| function.current.is_some());
            for function in functions.values_mut() {
                function.next = 0;
            }
            functions
        };
        visible(self) == visible(other)
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match *op {
            Op::Deploy(function, content) => {
                let function = self.functions.entry(function).or_default();
                let version = function.next.max(1);
                function.versions.insert(version, content);
                function.current = Some(version);
                function.next = version + 1;
            }
            Op::Rollback(function, version) => {
                self.functions.get_mut(&function).unwrap().current = Some(version);
            }
            Op::Settings(function, number) => {
                self.functions.get_mut(&function).unwrap().settings = number;
            }
            Op::Remove(function) => {
                let function = self.functions.get_mut(&function).unwrap();
                *function = Function { next: function.next, ..Function::default() };
            }
            Op::Gc => self.functions.values_mut().for_each(Function::collect),
        }
    }

    /// Every file of every version is there and whole.
    pub(crate) fn check_files(&self, store: &Store) {
        let contents = self.functions.values().flat_map(|function| function.versions.values());
        for deployment in contents.map(|content| deployment(*content)) {
            let image = deployment.image.map(|image| (BlobKind::Image, image.blob));
            let always = [
                (BlobKind::Module, deployment.module),
                (BlobKind::Artefact, deployment.artefact),
                (BlobKind::Plan, deployment.plan),
            ];
            for (kind, hash) in always.into_iter().chain(image) {
                store.open_blob_checked(kind, hash).unwrap();
            }
        }
    }
}

impl Function {
    fn collect(&mut self) {
        let current = self.current;
        let old: Vec<_> =
            self.versions.keys().copied().rev().filter(|&n| Some(n) != current).collect();
        for version in old.iter().skip(OLD_VERSIONS) {
            self.versions.remove(version);
        }
    }
}
