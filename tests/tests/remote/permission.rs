//! What a host may ask for: in the name of a tenant that both have, what is that tenant's.

use std::time::{Duration, Instant};

use faaslet_net::peer::{HostId, PeerResponse};
use faaslet_net::ship::{Ask, Body, Failure, FileId, Range, Record, Reply, SERVICE, Urgency};
use faaslet_tests::Hosts;

use super::liar::{Liar, Lie};

struct Asker<'a> {
    liar: &'a Liar,
    runtime: tokio::runtime::Runtime,
}

impl Asker<'_> {
    fn ask(&self, tenant: &str, body: Body) -> (Reply, bytes::Bytes) {
        let head = Ask::new(tenant, body).to_bytes().unwrap();
        self.raw(head)
    }

    fn raw(&self, head: Vec<u8>) -> (Reply, bytes::Bytes) {
        let peers = self.liar.peers.of(SERVICE);
        let deadline = Instant::now() + Duration::from_secs(10);
        let one = HostId::new("one").unwrap();
        let asked = self.runtime.block_on(peers.ask(one, head, bytes::Bytes::new(), deadline));
        let PeerResponse { head, payload } = asked.unwrap();
        (Reply::from_bytes(&head).unwrap(), payload)
    }
}

fn failed(answer: (Reply, bytes::Bytes)) -> Failure {
    match answer.0 {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenants_files_are_given_in_its_own_name_alone() {
    let hosts = Hosts::new(&["one", "asker"]);
    let one = hosts.up(0);
    let other = one.add_tenant("other");
    one.deploy_wat("init-heavy");
    other.deploy_wat(&one, "echo");
    let liar = Liar::new(&hosts, 1, 0, Lie::None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asker = Asker { liar: &liar, runtime };
    let find = |name: &str| Body::Find { function: name.to_owned() };
    let (reply, payload) = asker.ask("default", find("init-heavy"));
    assert_eq!(reply, Reply::Found);
    let record = Record::from_bytes(&payload).unwrap();
    assert_eq!(asker.ask("other", find("init-heavy")).0, Reply::Nothing);
    assert_eq!(failed(asker.ask("nobody", find("init-heavy"))), Failure::NoTenant);
    for row in &record.files {
        let file = row.file;
        let read = |at, bytes| {
            let ranges = vec![Range { at, bytes }];
            Body::Read { file, ranges, urgency: Urgency::Fault }
        };
        assert_eq!(asker.ask("default", read(0, 16)).1.len(), 16);
        for body in [read(0, 16), Body::Outline { file }] {
            assert_eq!(failed(asker.ask("other", body.clone())), Failure::NotHere);
            assert_eq!(failed(asker.ask("nobody", body)), Failure::NoTenant);
        }
        let beyond = failed(asker.ask("default", read(row.bytes, 1)));
        assert!(matches!(beyond, Failure::Broken { .. }), "{beyond:?}");
        let far = failed(asker.ask("default", read(u64::MAX - 1, 16)));
        assert!(matches!(far, Failure::Broken { .. }), "{far:?}");
    }
    for kind in [4, 255] {
        let file = FileId { kind, ..record.files[0].file };
        assert_eq!(failed(asker.ask("default", Body::Outline { file })), Failure::NotHere);
    }
    let garbage = failed(asker.raw(b"no message at all".to_vec()));
    assert!(matches!(garbage, Failure::Malformed { .. }), "{garbage:?}");
    one.stop();
}

#[test]
fn a_tenant_must_be_on_the_host_that_is_called() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    let (there, here) = (one.add_tenant("t"), two.add_tenant("t"));
    there.deploy_wat(&one, "echo");
    assert_eq!(here.call("echo", b"x").body, b"x");
    let other = two.default_tenant().call("echo", b"x");
    assert_eq!(other.status, 404, "another tenant's function: {}", other.text());
    let alone = one.add_tenant("alone");
    alone.deploy_wat(&one, "noop");
    let as_alone = two.operator().ask("POST", "/f/noop?tenant=alone", &[], b"");
    assert!(as_alone.status >= 400, "{}", as_alone.text());
    assert!(two.run(&["--json", "images"]).json().as_array().unwrap().is_empty());
    one.stop();
    two.stop();
}
