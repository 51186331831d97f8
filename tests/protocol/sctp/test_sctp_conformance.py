"""Which test shows that we keep which section of RFC 9260, or why there is nothing to show.

Beside it, the same for the extensions that data channels are made of. The tables are checked: every
section stands in them, every test in them exists, and no test that is named after a section is
missing.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.config import Role
from protocol.sctp.packets import seal
from protocol.sctp.status import ALLOWED, EVERY
from tests.protocol.sctp.model_link import chunks_of, established, exchange, make_association

HERE = Path(__file__).parent

ONE_PATH = "one path: the DTLS connection below has no addresses to choose from (RFC 8261, 6.1)"
OTHER_CONTROL = "replaced by a control of our own, which RFC 9260, 7, leaves to the sender"
NOT_OURS = "about the world outside of an association"

Proof = tuple[str, ...] | str
"""Tests as `file.test`, without what all their names begin with; or why there is none."""

RFC_9260: dict[str, Proof] = {
    "1": NOT_OURS,
    "2": NOT_OURS,
    "3.1": (
        "chunks.golden_vector",
        "transfer.every_datagram_has_a_valid_checksum_and_our_ports",
        "handshake.section_8_5_a_wrong_tag_port_or_checksum_is_dropped",
    ),
    "3.2": (
        "handshake.section_3_2_unknown_chunks_follow_their_action_bits",
        "chunks.a_chunk_with_an_impossible_length_is_refused",
        "chunks.a_packet_of_tiny_chunks_is_bounded",
    ),
    "3.2.1": (
        "handshake.section_3_2_1_unknown_parameters_follow_their_action_bits",
        "chunks.parameters_round_trip",
    ),
    "3.2.2": ("handshake.an_init_ack_with_unknown_parameters_is_reported_with_the_cookie",),
    "3.3": ("chunks.any_bytes_give_a_value_or_our_error",),
    "3.3.1": (
        "chunks.golden_vector",
        "transfer.section_3_3_1_data_without_data_is_a_violation",
    ),
    "3.3.2": (
        "handshake.section_3_3_2_an_init_must_be_alone_and_make_sense",
        "handshake.section_3_3_2_a_window_too_small_for_a_packet_is_refused",
    ),
    "3.3.3": (
        "handshake.section_3_3_3_an_init_ack_that_cannot_be_used_ends_the_attempt",
        "handshake.an_init_ack_without_cookie_ends_the_attempt",
    ),
    "3.3.4": (
        "chunks.sack_round_trip",
        "chunks.the_stock_implementation_reads_what_we_write",
        "chunks.we_read_what_the_stock_implementation_writes",
        "machines.scoreboard_reads_no_gap_block_that_makes_no_sense",
    ),
    "3.3.5": ("conformance.section_3_3_5_a_heartbeat_comes_back_as_it_was",),
    "3.3.6": (
        "conformance.section_3_3_5_a_heartbeat_comes_back_as_it_was",
        "transfer.a_path_probe_says_what_fits",
    ),
    "3.3.7": (
        "shutdown.section_9_1_an_abort_tells_the_peer",
        "handshake.section_8_5_1_an_abort_needs_our_tag_or_the_peers_reflected",
    ),
    "3.3.8": ("chunks.golden_vector", "conformance.section_3_3_8_a_shutdown_acknowledges"),
    "3.3.9": ("shutdown.section_9_2_shutdown_is_graceful_on_both_sides",),
    "3.3.10": ("conformance.section_3_3_10_causes_are_counted_and_end_nothing",),
    "3.3.10.1": (
        "transfer.section_6_5_a_stream_that_does_not_exist_is_reported_and_its_tsn_acknowledged",
    ),
    "3.3.10.2": ("handshake.section_3_3_3_an_init_ack_that_cannot_be_used_ends_the_attempt",),
    "3.3.10.3": ("handshake.section_5_2_6_a_stale_cookie_begins_again",),
    "3.3.10.4": (
        "shutdown.section_8_4_an_init_to_a_dead_association_is_refused_under_its_own_tag",
    ),
    "3.3.10.5": ONE_PATH,
    "3.3.10.6": ("handshake.section_3_2_unknown_chunks_follow_their_action_bits",),
    "3.3.10.7": ("handshake.section_3_3_2_an_init_must_be_alone_and_make_sense",),
    "3.3.10.8": ("handshake.an_init_ack_with_unknown_parameters_is_reported_with_the_cookie",),
    "3.3.10.9": ("transfer.section_3_3_1_data_without_data_is_a_violation",),
    "3.3.10.10": ("handshake.section_5_2_4_action_a_not_while_the_shutdown_is_acknowledged",),
    "3.3.10.11": ONE_PATH,
    "3.3.10.12": ("shutdown.section_9_1_an_abort_tells_the_peer",),
    "3.3.10.13": ("transfer.section_6_9_fragments_that_contradict_each_other_are_a_violation",),
    "3.3.11": ("handshake.section_5_1_four_messages_when_one_side_begins",),
    "3.3.12": ("handshake.section_5_1_four_messages_when_one_side_begins",),
    "3.3.13": ("shutdown.section_8_4_a_shutdown_ack_for_a_dead_association_is_answered",),
    "4": ("conformance.section_4_a_chunk_out_of_turn_changes_nothing",),
    "5.1": (
        "handshake.section_5_1_four_messages_when_one_side_begins",
        "handshake.section_5_1_any_one_message_may_be_lost",
        "handshake.section_5_1_data_overtaking_the_cookie_ack_establishes",
        "handshake.an_init_without_an_answer_is_given_up",
    ),
    "5.1.1": ("handshake.channels_beyond_the_peers_streams_are_closed",),
    "5.1.2": ONE_PATH,
    "5.1.3": ("chunks.a_cookie_comes_back_whole_and_only_to_its_maker",),
    "5.1.4": ("handshake.section_5_1_four_messages_when_one_side_begins",),
    "5.1.5": ("handshake.section_5_1_5_a_forged_or_expired_cookie_establishes_nothing",),
    "5.1.6": ("handshake.section_5_1_four_messages_when_one_side_begins",),
    "5.2": ("properties.a_peer_that_begins_anew_is_noticed_and_served",),
    "5.2.1": ("handshake.section_5_2_1_both_begin_at_once",),
    "5.2.2": ("handshake.section_5_2_2_a_second_init_changes_nothing_until_its_cookie_returns",),
    "5.2.3": ("handshake.section_5_2_3_an_init_ack_out_of_turn_is_discarded",),
    "5.2.4": (
        "handshake.section_5_2_4_action_a_the_peer_restarts",
        "handshake.section_5_2_4_action_a_not_while_the_shutdown_is_acknowledged",
        "handshake.section_5_2_4_action_b_the_younger_of_two_peers_is_the_one_alive",
        "handshake.section_5_2_4_an_old_cookie_does_not_bring_a_dead_peer_back",
        "handshake.section_5_2_4_action_d_a_repeated_cookie_echo_is_confirmed_again",
    ),
    "5.2.5": ("handshake.section_5_2_5_a_second_cookie_ack_is_discarded",),
    "5.2.6": ("handshake.section_5_2_6_a_stale_cookie_begins_again",),
    "5.3.1": ("handshake.section_5_3_1_tags_are_random_and_never_zero",),
    "5.4": ONE_PATH,
    "6": ("transfer.section_6_the_i_bit_marks_the_end_of_what_is_queued",),
    "6.1": (
        "transfer.section_6_1_the_peers_window_is_respected_and_a_shut_one_probed",
        "transfer.a_shut_window_that_takes_probes_is_probed_ever_more_rarely",
    ),
    "6.2": (
        "transfer.section_6_2_a_foreign_peer_gets_a_sack_for_every_second_packet",
        "transfer.the_window_opens_by_an_announcement_and_not_by_a_probe_alone",
        "conformance.section_6_2_a_lone_packet_is_acknowledged_in_time",
        "conformance.section_6_2_a_duplicate_is_acknowledged_at_once",
        "sacks.rfc_7053_one_packet_that_asks_is_enough_for_all_before_it",
    ),
    "6.2.1": (
        "transfer.section_6_2_1_gaps_and_duplicates_are_reported",
        "transfer.section_6_2_1_acknowledging_the_unsent_is_a_violation",
        "machines.scoreboard_takes_back_what_a_peer_reneges_on",
        "transfer.the_newest_sack_of_a_burst_counts",
    ),
    "6.3": ("machines.round_trip_section_6_3_1",),
    "6.3.1": ("machines.round_trip_section_6_3_1",),
    "6.3.2": (
        "losses.sending_does_not_postpone_the_probe",
        "machines.timers_run_by_kind",
    ),
    "6.3.3": (
        "losses.section_6_3_3_timeouts_back_off_and_at_last_give_up",
        "losses.a_path_that_stalls_and_returns_repeats_little",
    ),
    "6.4": ONE_PATH,
    "6.4.1": ONE_PATH,
    "6.5": (
        "transfer.section_6_5_a_stream_that_does_not_exist_is_reported_and_its_tsn_acknowledged",
        "transfer.tsn_and_stream_numbers_wrap",
        "chunks.stream_numbers_compare_across_the_wrap",
    ),
    "6.6": (
        "machines.reassembly_in_any_order_of_arrival",
        "transfer.holes_of_one_stream_do_not_delay_another",
        "properties.every_message_arrives_once_and_both_sides_close",
    ),
    "6.7": (
        "sacks.section_6_7_a_foreign_peer_is_told_of_a_hole_with_each_packet",
        "machines.receiver_reports_exactly_what_is_here",
        "transfer.truncated_gap_reports_are_not_taken_for_losses",
    ),
    "6.8": (
        "chunks.golden_vector",
        "chunks.one_flipped_bit_breaks_the_checksum",
    ),
    "6.9": (
        "transfer.section_6_9_messages_of_every_size",
        "transfer.section_6_9_fragments_that_contradict_each_other_are_a_violation",
        "transfer.a_message_larger_than_agreed_ends_the_association",
    ),
    "6.10": ("transfer.section_6_10_short_messages_share_packets_and_none_is_too_long",),
    "7.1": OTHER_CONTROL,
    "7.2": ("congestion.goal_half_of_a_line_shared_with_tcp_cubic",),
    "7.2.1": ("congestion.startup_doubles_until_the_pipe_is_full_and_then_drains",),
    "7.2.2": OTHER_CONTROL,
    "7.2.3": ("congestion.two_percent_of_loss_change_nothing_and_twenty_do",),
    "7.2.4": ("losses.section_7_2_4_a_hole_is_filled_after_a_round_trip_and_without_a_timeout",),
    "7.2.5": ONE_PATH,
    "7.3": ("transfer.a_path_probe_says_what_fits",),
    "8.1": (
        "losses.section_6_3_3_timeouts_back_off_and_at_last_give_up",
        "losses.a_heartbeat_keeps_an_idle_association_and_finds_a_dead_peer",
    ),
    "8.2": ONE_PATH,
    "8.3": ("losses.a_heartbeat_keeps_an_idle_association_and_finds_a_dead_peer",),
    "8.4": (
        "shutdown.section_8_4_a_shutdown_ack_for_a_dead_association_is_answered",
        "shutdown.section_8_4_each_packet_to_a_dead_association_is_answered_once",
        "shutdown.section_8_4_an_init_to_a_dead_association_is_refused_under_its_own_tag",
    ),
    "8.5": ("handshake.section_8_5_a_wrong_tag_port_or_checksum_is_dropped",),
    "8.5.1": ("handshake.section_8_5_1_an_abort_needs_our_tag_or_the_peers_reflected",),
    "9": ("shutdown.giving_up_before_the_handshake_is_over",),
    "9.1": ("shutdown.section_9_1_an_abort_tells_the_peer",),
    "9.2": (
        "shutdown.section_9_2_shutdown_is_graceful_on_both_sides",
        "shutdown.section_9_2_data_after_our_shutdown_repeats_it",
        "shutdown.section_9_2_both_shut_down_at_once",
        "shutdown.section_9_2_any_message_of_a_shutdown_may_be_lost",
        "shutdown.section_9_2_a_shutdown_without_an_answer_ends_by_itself",
        "shutdown.section_9_2_nothing_more_is_taken_from_the_application",
        "shutdown.section_9_2_a_peer_that_begins_anew_does_not_undo_our_shutdown",
    ),
    "10": NOT_OURS,
    "11": NOT_OURS,
    "12": (
        "properties.no_bytes_raise_anything",
        "properties.noise_is_dropped_and_counted",
        "transfer.tsns_too_far_ahead_and_too_many_islands_are_dropped",
        "machines.reassembly_skips_at_a_cost_that_no_peer_can_drive",
    ),
    "13": NOT_OURS,
    "14": ("conformance.section_14_at_most_the_bounds_that_we_name",),
    "15": NOT_OURS,
    "16": ("conformance.section_16_values_that_differ_are_named",),
}
"""By the sections of its table of contents; 3.3.10's are its error causes."""

EXTENSIONS: dict[str, Proof] = {
    "RFC 3758, 3.3": ("partial.rfc_3758_no_retransmission_means_that_the_lost_stays_lost",),
    "RFC 3758, 3.4": ("partial.rfc_3758_what_expires_in_the_queue_never_leaves",),
    "RFC 3758, 3.5": (
        "partial.rfc_3758_a_message_given_up_half_sent_is_skipped",
        "partial.rfc_3758_giving_up_never_skips_what_is_reliable",
        "partial.rfc_3758_some_retransmissions_mend_most",
        "partial.rfc_3758_a_lifetime_bounds_how_long_is_tried",
    ),
    "RFC 3758, 3.6": ("machines.reassembly_skips_what_was_given_up_and_keeps_what_was_not",),
    "RFC 6525, 5.1": ("reset.a_reset_that_is_never_answered_ends_the_association",),
    "RFC 6525, 5.2.1": ("reset.rfc_6525_section_5_2_requests_in_and_out_of_turn",),
    "RFC 6525, 5.2.2": (
        "reset.rfc_6525_section_5_2_2_a_second_request_waits_for_the_first",
        "channels.a_stream_begins_at_zero_after_a_reset",
    ),
    "RFC 6525, 5.2.3 to 5.2.6": ("reset.rfc_6525_what_we_do_not_offer_is_denied",),
    "RFC 6525, 5.2.7": ("reset.a_peer_that_refuses_a_reset_does_not_keep_the_channel_open",),
    "RFC 8831, 6.4": ("channels.the_number_of_channels_is_bounded_and_streams_are_used_again",),
    "RFC 8831, 6.5": ("channels.rfc_8831_section_6_5_a_negotiated_channel_announces_nothing",),
    "RFC 8831, 6.6": (
        "transfer.section_6_9_messages_of_every_size",
        "transfer.the_peers_message_bound_is_kept",
        "channels.messages_for_no_channel_and_unknown_payloads_are_counted",
    ),
    "RFC 8831, 6.7": (
        "channels.rfc_8831_section_6_7_closing_loses_nothing",
        "properties.closing_channels_loses_nothing_and_frees_their_streams",
    ),
    "RFC 8832, 5": (
        "channels.rfc_8832_both_sides_agree_on_the_terms",
        "chunks.open_round_trip",
    ),
    "RFC 8832, 6": (
        "channels.rfc_8832_section_6_streams_are_even_for_the_client_and_odd_for_the_server",
        "channels.rfc_8832_section_6_unordered_messages_wait_for_the_open_to_arrive",
        "channels.a_bad_open_resets_its_stream_and_no_other",
        "channels.a_second_open_on_a_stream_closes_its_channel",
        "channels.an_open_with_our_parity_or_one_too_many_is_refused",
        "channels.terms_are_checked",
    ),
    "RFC 8899, 4": ("transfer.a_path_probe_says_what_fits",),
    "RFC 8985, 6": ("losses.a_packet_lost_twice_is_found_lost_twice",),
    "RFC 8985, 7": ("losses.rfc_8985_a_lost_tail_is_probed_and_not_timed_out",),
}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((HERE / f"test_sctp_{file}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return frozenset(name.removeprefix("test_") for name in names if name.startswith("test_"))


def named(table: dict[str, Proof]) -> set[str]:
    return {test for proof in table.values() if isinstance(proof, tuple) for test in proof}


@pytest.mark.parametrize("section", [*RFC_9260, *EXTENSIONS])
def test_each_section_has_tests_that_exist_or_a_reason(section: str) -> None:
    proof = (RFC_9260 | EXTENSIONS)[section]
    assert proof
    for test in proof if isinstance(proof, tuple) else ():
        file, _, name = test.partition(".")
        assert name in names_in(file), test


def test_no_section_is_missing() -> None:
    """Chapters of the RFC with the number of their sections, and of those with their own."""
    chapters = {
        "3": 3, "3.2": 2, "3.3": 13, "3.3.10": 13, "5": 4, "5.1": 6, "5.2": 6, "5.3": 1, "6": 10,
        "6.2": 1, "6.3": 3, "6.4": 1, "7": 3, "7.2": 5, "8": 5, "8.5": 1, "9": 2,
    }  # fmt: skip
    wanted = {f"{chapter}.{n}" for chapter, count in chapters.items() for n in range(1, count + 1)}
    wanted |= {str(number) for number in range(1, 17)} - {"3", "5", "7", "8"}
    assert wanted - set(RFC_9260) == {"5.3"}, "which has nothing beside 5.3.1"


def test_every_test_that_is_named_after_a_section_stands_in_the_table() -> None:
    files = [path.stem.removeprefix("test_sctp_") for path in sorted(HERE.glob("test_sctp_*.py"))]
    after = {
        f"{file}.{name}"
        for file in files
        for name in names_in(file)
        if name.startswith(("section_", "rfc_"))
    }
    assert after
    assert after - named(RFC_9260) - named(EXTENSIONS) == set()


def given(association: Association, *parts: bytes, now: float = 0.0) -> list[bytes]:
    """Hand over a packet under the association's tag; return its answers."""
    tag = association.local_tag
    packet = seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), b"".join(parts))
    association.receive(packet, now)
    return association.datagrams_to_send(now)


def test_section_3_3_5_a_heartbeat_comes_back_as_it_was() -> None:
    _, server = established()
    for info in (b"", b"\0\1\0\5x", bytes(range(200))):
        answers = given(server, chunks.encode_chunk(chunks.HEARTBEAT, 0, info))
        assert chunks_of(answers) == [(chunks.HEARTBEAT_ACK, 0, info)]
    assert given(server, chunks.encode_chunk(chunks.HEARTBEAT_ACK, 0, b"\0\1\0\x0cnot ours")) == []
    assert server.events() == []


def test_section_3_3_8_a_shutdown_acknowledges() -> None:
    client, server = established()
    client.send(client.open_channel("c"), b"x", 0.0)
    client.datagrams_to_send(0.0)
    assert client.sender is not None
    assert client.sender.board.outstanding
    last = (client.sender.board.next_tsn - 1) & 0xFFFFFFFF
    given(client, chunks.encode_shutdown(last))
    assert not client.sender.board.outstanding
    assert not server.over


def test_section_3_3_10_causes_are_counted_and_end_nothing() -> None:
    _, server = established()
    for cause in range(20):
        assert given(server, chunks.encode_error(cause, b"any")) == []
    assert not server.over
    assert {name for name in server.counters if name.startswith("error")} == {
        *(f"error cause {cause}" for cause in range(14)),
        "error cause unknown",
    }


@pytest.mark.parametrize("kind", sorted(ALLOWED))
def test_section_4_a_chunk_out_of_turn_changes_nothing(kind: int) -> None:
    """In every state that a table forbids it in it does what no packet would."""
    for state in sorted(EVERY - ALLOWED[kind], key=lambda state: state.value):
        (client, _), (control, _) = established(), established()
        client._status.state = control._status.state = state
        client.counters.clear()
        assert given(client, chunks.encode_chunk(kind, 0, bytes(16))) == (
            control.datagrams_to_send(0.0)
        )
        assert client.state is control.state
        assert client.events() == []
        assert client.counters == {"chunk out of turn": 1}


@pytest.mark.parametrize("own_peer", [True, False])
def test_section_6_2_a_lone_packet_is_acknowledged_in_time(own_peer: bool) -> None:
    client, server = established(own_peer)
    client.send(client.open_channel("c"), b"x", 0.0)
    exchange(client, server)
    assert server.receiver is not None
    first = (server.receiver.cumulative + 1) & 0xFFFFFFFF
    assert given(server, chunks.encode_data(3, first, 0, 1, 53, b"y"), now=1.0) == []
    at = server.next_timer()
    assert at is not None
    assert at <= 1.0 + 0.2, "RFC 9260 allows 200 ms"
    server.handle_timer(at)
    [(kind, _, value)] = chunks_of(server.datagrams_to_send(at))
    assert kind == chunks.SACK
    assert value[:4] == first.to_bytes(4)


def test_section_6_2_a_duplicate_is_acknowledged_at_once() -> None:
    client, server = established()
    client.send(client.open_channel("c"), b"x", 0.0)
    exchange(client, server)
    assert server.receiver is not None
    first = (server.receiver.cumulative + 1) & 0xFFFFFFFF
    chunk = chunks.encode_data(3, first, 0, 1, 53, b"y")
    assert given(server, chunk) == []
    [(kind, _, value)] = chunks_of(given(server, chunk))
    assert kind == chunks.SACK
    assert chunks.decode_sack(value)[3] == (first,)


def test_section_14_at_most_the_bounds_that_we_name() -> None:
    """What the RFC calls parameters of the path: a packet, a window, messages, streams."""
    client, _ = established()
    assert len(client.datagrams_to_send(0.0)) <= limits.DATAGRAMS_PER_CALL
    assert limits.STREAMS_MAX <= 0xFFFF
    assert limits.OUTSTANDING_MAX < 0x8000
    assert limits.GAP_BLOCKS_PER_SACK * 4 + 16 + 12 <= limits.PACKET_BYTES_DEFAULT


def test_section_16_values_that_differ_are_named() -> None:
    """The suggested values; those that we have instead have their reason in `limits`."""
    same = {
        "COOKIE_LIFETIME_S": 60.0,
        "RTO_INITIAL_S": 1.0,
        "RETRANSMITS_MAX": 10,
        "INIT_RETRANSMITS_MAX": 8,
        "HEARTBEAT_S": 30.0,
    }
    assert {name: getattr(limits, name) for name in same} == same
    assert limits.RTO_MIN_OWN_S < limits.RTO_MIN_FOREIGN_S < 1.0
    assert limits.RTO_MAX_S < 60.0
    assert limits.SACK_DELAY_S < 0.2
    assert make_association(Role.CLIENT, 1).next_timer() is None
