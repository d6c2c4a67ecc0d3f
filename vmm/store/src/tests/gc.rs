//! Collection: what goes, what stays, and that the plan says it beforehand.

use std::time::Duration;

use super::{deploy, function, put, store_with_tenant};
use crate::{BlobKind, GcRule, Hash, RemoveError, Store};

fn rule(old_versions: usize, budget_bytes: Option<u64>) -> GcRule {
    GcRule { old_versions, grace: Duration::ZERO, budget_bytes }
}

fn versions(store: &Store, text: &str) -> Vec<u64> {
    store.versions(&function(text)).unwrap().iter().map(|version| version.version).collect()
}

/// Collects, and checks that it did what the plan said and that all that is named is there.
fn collect(store: &Store, rule: &GcRule) -> crate::GcPlan {
    let plan = store.gc_plan(rule).unwrap();
    assert_eq!(store.gc(rule).unwrap(), plan);
    for file in &plan.files {
        assert!(!store.has_blob(file.kind, file.hash));
    }
    let mut kept = 0;
    for info in store.functions(None).unwrap() {
        for version in store.versions(&info.function).unwrap() {
            for (kind, hash) in version.deployment.blobs() {
                store.open_blob_checked(kind, hash).unwrap();
            }
        }
    }
    for kind in BlobKind::ALL {
        kept += store.blobs(kind).unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>();
    }
    assert_eq!(kept, plan.kept_bytes);
    let again = store.gc_plan(rule).unwrap();
    assert_eq!((again.files, again.versions), (vec![], vec![]));
    plan
}

#[test]
fn the_current_version_and_the_newest_others_stay() {
    let (_folder, store) = store_with_tenant();
    for n in 1..=8 {
        deploy(&store, "f", &n.to_string());
    }
    deploy(&store, "g", "only");
    store.rollback(&function("f"), 2).unwrap();
    let plan = collect(&store, &rule(3, None));
    assert_eq!(versions(&store, "f"), [2, 6, 7, 8]);
    assert_eq!(versions(&store, "g"), [1]);
    assert_eq!(plan.versions.len(), 4);
    assert_eq!(plan.files.len(), 16);
    assert_eq!(store.current(&function("f")).unwrap().version, 2);
    collect(&store, &rule(0, None));
    assert_eq!(versions(&store, "f"), [2]);
}

#[test]
fn a_file_that_another_version_names_stays() {
    let (_folder, store) = store_with_tenant();
    deploy(&store, "f", "shared");
    deploy(&store, "f", "own");
    deploy(&store, "g", "shared");
    let plan = collect(&store, &rule(0, None));
    assert_eq!(plan.versions, [(function("f"), 1)]);
    assert!(plan.files.is_empty());
    store.remove_function(&function("g")).unwrap();
    assert_eq!(collect(&store, &rule(0, None)).files.len(), 4);
}

#[test]
fn a_file_that_nobody_names_yet_has_its_grace() {
    let (_folder, store) = store_with_tenant();
    let hash = put(&store, BlobKind::Module, "about to be deployed");
    assert!(collect(&store, &GcRule::default()).files.is_empty());
    assert!(store.has_blob(BlobKind::Module, hash));
    let plan = collect(&store, &rule(3, None));
    assert_eq!((plan.files.len(), plan.freed_bytes), (1, 20));
}

#[test]
fn putting_a_file_again_renews_its_grace() {
    let (_folder, store) = store_with_tenant();
    let hash = put(&store, BlobKind::Module, "content");
    let file = std::fs::File::open(store.blob_path(BlobKind::Module, hash)).unwrap();
    let long_ago = std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    file.set_times(long_ago).unwrap();
    assert_eq!(store.gc_plan(&GcRule::default()).unwrap().files.len(), 1);
    put(&store, BlobKind::Module, "content");
    assert!(store.gc_plan(&GcRule::default()).unwrap().files.is_empty());
}

#[test]
fn over_the_budget_the_grace_is_no_longer_than_a_bake() {
    let (_folder, store) = store_with_tenant();
    let rule = |budget_bytes| GcRule { budget_bytes: Some(budget_bytes), ..GcRule::default() };
    let hash = put(&store, BlobKind::Module, "uploaded");
    let file = std::fs::File::open(store.blob_path(BlobKind::Module, hash)).unwrap();
    let age = |minutes| {
        #[allow(clippy::disallowed_methods, reason = "the date of a file says how old it is")]
        let then = std::time::SystemTime::now() - Duration::from_mins(minutes);
        file.set_times(std::fs::FileTimes::new().set_modified(then)).unwrap();
    };
    age(10);
    assert!(store.gc_plan(&rule(0)).unwrap().files.is_empty(), "a bake may be about to name it");
    age(30);
    assert!(store.gc_plan(&rule(1000)).unwrap().files.is_empty(), "there is room");
    assert_eq!(collect(&store, &rule(0)).files.len(), 1);
}

#[test]
fn over_the_budget_old_versions_go_but_never_a_current_one() {
    let (_folder, store) = store_with_tenant();
    for n in 1..=4 {
        deploy(&store, "f", &n.to_string());
        deploy(&store, "g", &format!("{n} of g"));
    }
    let all = store.gc_plan(&rule(3, None)).unwrap().kept_bytes;
    assert!(store.gc_plan(&rule(3, Some(all))).unwrap().files.is_empty());
    let one_less = store.gc_plan(&rule(3, Some(all - 1))).unwrap();
    assert_eq!(one_less.versions.len(), 1);
    assert_eq!(one_less.versions[0].1, 1);
    let plan = collect(&store, &rule(3, Some(0)));
    assert!(plan.kept_bytes > 0);
    assert_eq!((versions(&store, "f"), versions(&store, "g")), (vec![4], vec![4]));
}

#[test]
fn labels_go_with_their_files() {
    let (_folder, store) = store_with_tenant();
    let (kept, gone) = (Hash([1; 32]), Hash([2; 32]));
    deploy(&store, "f", "one");
    let artefact = store.current(&function("f")).unwrap().deployment.artefact;
    store.set_label(BlobKind::Artefact, kept, artefact).unwrap();
    let unused = put(&store, BlobKind::Artefact, "unused");
    store.set_label(BlobKind::Artefact, gone, unused).unwrap();
    collect(&store, &rule(0, None));
    assert_eq!(store.by_label(BlobKind::Artefact, kept).unwrap(), Some(artefact));
    put(&store, BlobKind::Artefact, "unused");
    assert_eq!(store.by_label(BlobKind::Artefact, gone).unwrap(), None);
}

#[test]
fn a_pinned_file_stays_until_it_is_removed() {
    let (_folder, store) = store_with_tenant();
    let image = put(&store, BlobKind::Image, "imported");
    store.pin_blob(BlobKind::Image, image).unwrap();
    assert!(collect(&store, &rule(0, Some(0))).files.is_empty());
    store.remove_blob(BlobKind::Image, image).unwrap();
    assert!(!store.has_blob(BlobKind::Image, image));
    for error in [
        store.remove_blob(BlobKind::Image, image).unwrap_err(),
        store.pin_blob(BlobKind::Image, image).unwrap_err(),
    ] {
        assert!(matches!(error, RemoveError::Absent { .. }), "{error}");
    }
    put(&store, BlobKind::Image, "imported");
    assert_eq!(collect(&store, &rule(0, None)).files.len(), 1);
}

#[test]
fn a_file_that_versions_name_is_not_removed_and_they_are_named() {
    let (_folder, store) = store_with_tenant();
    deploy(&store, "f", "one");
    deploy(&store, "f", "two");
    let image = store.version(&function("f"), 1).unwrap().deployment.image.unwrap().blob;
    assert_eq!(store.named_by(BlobKind::Image, image).unwrap(), [(function("f"), 1)]);
    let error = store.remove_blob(BlobKind::Image, image).unwrap_err();
    assert!(error.to_string().contains("acme/f v1"), "{error}");
    store.open_blob_checked(BlobKind::Image, image).unwrap();
}
