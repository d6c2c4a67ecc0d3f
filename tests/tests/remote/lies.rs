//! Hosts that give what is wrong, or nothing: named, left out, and the next one is asked.

use faaslet_tests::{Hosts, eventually};

use super::liar::{Liar, Lie};

#[test]
fn a_host_that_lies_is_named_and_left_out_and_another_is_asked() {
    for lie in [Lie::Bit, Lie::Cut, Lie::Other, Lie::Outline, Lie::Stall { after: 1 }] {
        let hosts = Hosts::new(&["one", "evil", "three"]);
        let (one, liar) = (hosts.up(0), Liar::new(&hosts, 1, 0, lie));
        one.deploy_wat("init-heavy");
        let expected = one.call("init-heavy", "").ok();
        let three = hosts.up(2);
        assert_eq!(three.call("init-heavy", "").ok(), expected, "{lie:?}");
        let log = three.log();
        assert!(log.contains("a host is left out") && log.contains("evil"), "{lie:?}: {log}");
        assert!(three.count("faaslet_remote_left_out_total") >= 1, "{lie:?}");
        let bad = three.count("faaslet_remote_bad_pieces_total");
        assert_eq!(bad > 0, matches!(lie, Lie::Bit | Lie::Cut | Lie::Other), "{lie:?}: {bad}");
        three.stop();
        drop(liar);
        one.stop();
    }
}

#[test]
fn a_pull_goes_on_after_kill_with_what_had_arrived() {
    let hosts = Hosts::new(&["one", "slow", "three"]);
    let (one, slow) = (hosts.up(0), Liar::new(&hosts, 1, 0, Lie::Stall { after: 4 }));
    one.deploy_wat("init-heavy");
    let expected = one.call("init-heavy", "").ok();
    let three = hosts.up(2);
    let image = hosts.sites[2].data().join("partial");
    let arrived = || {
        let files = std::fs::read_dir(&image).unwrap().flatten();
        let blocks = |file: std::fs::DirEntry| {
            std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap())
        };
        files.map(blocks).sum::<u64>() * 512
    };
    std::thread::scope(|scope| {
        let call = scope.spawn(|| three.call("init-heavy", ""));
        eventually("a part has arrived and no more comes", || {
            slow.reads() > 4 && arrived() >= 256 << 10
        });
        faaslet_tests::kill_process(three.pid());
        assert_ne!(call.join().unwrap().code, Some(0));
    });
    three.kill();
    let kept = arrived();
    slow.lies(Lie::None);
    let three = hosts.up(2);
    assert_eq!(three.call("init-heavy", "").ok(), expected);
    let pulled = three.count("faaslet_remote_pulled_bytes_total");
    let whole = one.count("faaslet_remote_served_bytes_total");
    assert!(kept >= 256 << 10 && pulled + (256 << 10) <= whole, "{kept} kept, {pulled} of {whole}");
    assert_eq!(arrived(), 0, "nothing is left under way");
    three.stop();
    drop(slow);
    one.stop();
}
