//! How QUIC is set up.

use crate::tls::{ClientTls, ServerTls};
use quinn_proto::congestion::CubicConfig;
use quinn_proto::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, HashedConnectionIdGenerator,
    MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt,
};
use std::sync::Arc;
use std::time::Duration;

/// Largest datagram looked for. Over 1,472 the endpoint must be told too, which is easily
/// forgotten; over 6,500 segmentation offload stalls.
const MAX_DATAGRAM_BYTES: u16 = 1452;
/// What a peer may send before it is read.
const RECEIVE_WINDOW_BYTES: u32 = 2 << 20;
/// What is kept until it is acknowledged; a small frame waits behind at most this much.
const SEND_WINDOW_BYTES: u64 = 1 << 20;
/// A connection without a packet for so long is lost.
const MAX_IDLE: Duration = Duration::from_secs(15);
/// Clients say that they are there so often.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Before anything is measured: decides when a first packet that was lost is sent again.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Handshakes that are received and not begun.
const MAX_INCOMING: usize = 1024;

/// With a server's keys, connections of its last run are recognised and reset.
pub(crate) fn endpoint(tls: Option<&ServerTls>) -> EndpointConfig {
    let Some(tls) = tls else { return EndpointConfig::default() };
    let mut config = EndpointConfig::new(tls.reset_key.clone());
    let key = tls.connection_id_key;
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config
}

pub(crate) fn server(tls: &ServerTls) -> Arc<ServerConfig> {
    let mut config = ServerConfig::with_crypto(tls.crypto.clone());
    config.max_incoming(MAX_INCOMING).transport_config(Arc::new(transport(None)));
    Arc::new(config)
}

pub(crate) fn client(tls: &ClientTls) -> ClientConfig {
    let mut config = ClientConfig::new(tls.crypto.clone());
    config.transport_config(Arc::new(transport(Some(KEEP_ALIVE))));
    config
}

fn transport(keep_alive: Option<Duration>) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_DATAGRAM_BYTES);
    let mut ack = AckFrequencyConfig::default();
    ack.ack_eliciting_threshold(VarInt::from_u32(10));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(MAX_IDLE.try_into().ok())
        .keep_alive_interval(keep_alive)
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(ack))
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    config
}
