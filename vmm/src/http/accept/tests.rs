use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn strangers_leave_room_for_those_who_show_a_token() {
    let most = Most { connections: 8, strangers_each: 4, idle: Duration::from_secs(1) };
    let limited = Limited::new(most);
    let mut held: Vec<_> = (0..4).map(|_| limited.admit(address("10.0.0.1")).unwrap()).collect();
    let refused = limited.admit(address("10.0.0.1")).unwrap_err();
    assert_eq!(refused, Refused::Stranger(TooMany::FromAddress));
    held.push(limited.admit(address("2001:db8::1")).unwrap());
    held.push(limited.admit(address("2001:db8::2")).unwrap());
    let refused = limited.admit(address("10.0.0.2")).unwrap_err();
    assert_eq!(refused, Refused::Stranger(TooMany::All));
    for connection in &held[..2] {
        connection.show();
        connection.show();
    }
    held.push(limited.admit(address("10.0.0.1")).unwrap());
    held.push(limited.admit(address("10.0.0.1")).unwrap());
    held[6].show();
    let refused = limited.admit(address("10.0.0.3")).unwrap_err();
    assert_eq!(refused, Refused::All);
    drop(held);
    let counts = limited.counts();
    assert_eq!((counts.all, counts.strangers.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_idles_from_the_end_of_its_last_request() {
    let idle = Duration::from_secs(5);
    let most = Most { connections: 1, strangers_each: 1, idle };
    let connection = Limited::new(most).admit(address("::1")).unwrap();
    let begun = Instant::now();
    let under_way = connection.begin();
    tokio::time::advance(idle * 3).await;
    assert_eq!(connection.idles_until(), begun + idle * 4, "a request is under way");
    drop(under_way);
    tokio::time::advance(idle).await;
    assert_eq!(connection.idles_until(), Instant::now());
}
