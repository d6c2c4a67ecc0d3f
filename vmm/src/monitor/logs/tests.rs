use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn texts(records: &[LogRecord]) -> Vec<&str> {
    records.iter().map(|record| record.text.as_str()).collect()
}

#[test]
fn a_log_has_its_last_lines_and_nothing_else() {
    let (log, begun) = (Log::new("f"), Instant::now());
    for number in 0..MAX_LINES + 10 {
        let now = begun + SECOND * number as u32;
        log.push(&[0; 16], 2, number.to_string().as_bytes(), now);
    }
    let now = begun + SECOND * 2000;
    let all = log.last(usize::MAX, now);
    assert_eq!(all.len(), MAX_LINES);
    assert_eq!((all[0].sequence, &*all[0].text), (11, "10"));
    assert_eq!(texts(&log.last(2, now)), ["1008", "1009"]);
    let long = vec![b'x'; MAX_TEXT_BYTES - 1];
    log.push(&[0; 16], 2, &long, now);
    assert_eq!(texts(&log.last(9, now + SECOND)).len(), 1, "bytes count too");
}

#[test]
fn a_flood_is_dropped_counted_and_told() {
    let (log, now) = (Log::new("f"), Instant::now());
    for _ in 0..MAX_LINES + 7 {
        log.push(&[0; 16], 2, b"x", now);
    }
    let all = log.last(usize::MAX, now);
    assert!(all.last().unwrap().text.starts_with("7 lines dropped"), "{:?}", all.last());
    assert_eq!(all.last().unwrap().level, "warn");
    log.push(&[0; 16], 2, b"y", now);
    log.push(&[0; 16], 2, b"z", now + SECOND * 2);
    let last = log.last(2, now + SECOND * 2);
    assert!(last[0].text.starts_with("1 lines dropped") && last[1].text == "z", "{last:?}");
}

#[test]
fn bytes_are_limited_as_lines_are() {
    let (log, now) = (Log::new("f"), Instant::now());
    log.push(&[0; 16], 2, &vec![b'x'; MAX_TEXT_BYTES], now);
    log.push(&[0; 16], 2, b"y", now);
    let last = log.last(1, now);
    assert!(last[0].text.starts_with("1 lines dropped"), "{:?}", last[0]);
}

#[test]
fn a_rate_gives_what_time_brings_and_never_more() {
    let begun = Instant::now();
    let mut rate = Rate::new(10, 4, begun);
    assert!(rate.take(10, begun) && !rate.take(1, begun));
    // Looked at often, it loses nothing: 4 a second are one after 250 ms.
    for ms in 1..250 {
        assert!(!rate.has(1, begun + Duration::from_millis(ms)), "{ms}");
    }
    assert!(rate.take(1, begun + Duration::from_millis(250)));
    assert!(!rate.take(1, begun + Duration::from_millis(499)));
    assert!(rate.take(1, begun + Duration::from_millis(500)));
    assert!(!rate.has(11, begun + SECOND * 1000) && rate.has(10, begun + SECOND * 1000));
}

#[tokio::test]
async fn a_follower_reads_on_is_told_what_it_missed_and_ends_with_the_function() {
    let log = Arc::new(Log::new("f"));
    let begun = Instant::now();
    log.push(&[0; 16], 2, b"before", begun);
    let mut follower = log.follow(1);
    log.push(&[7; 16], 0, b"a", begun);
    let next = follower.next().await.unwrap();
    assert_eq!((next[0].sequence, &*next[0].text, &*next[0].level), (2, "a", "error"));
    assert_eq!(next[0].call, "07".repeat(16));
    for number in 0..MAX_LINES + 5 {
        log.push(&[0; 16], 2, b"x", begun + SECOND * number as u32);
    }
    let next = follower.next().await.unwrap();
    assert_eq!(next[0].text, "5 lines were gone before they were read");
    assert_eq!((next[1].sequence, next.len()), (8, MAX_RECORDS_AT_ONCE + 1));
    while follower.seen < (MAX_LINES + 7) as u64 {
        assert!(follower.next().await.is_some());
    }
    let (ended, ()) = tokio::join!(follower.next(), async { drop(log) });
    assert!(ended.is_none());
}
