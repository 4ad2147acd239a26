"""Defects that no evening of the search so far has caught, and for each the test that fails with it in the node.

What they take is rare in an evening: an own write over one that was not confirmed, sent in the right second; a commit
that fails while a position moves; a database that is put back twice. Where a search finds a seed, the line goes.
"""

from __future__ import annotations

from crdt.engine import DEFAULT

MERGING = "tests/scenarios/merging"
KNOWLEDGE = "tests/scenarios/knowledge"
DELIVERY = "tests/scenarios/delivery"
RETENTION = "tests/scenarios/retention"
LINKS = "tests/scenarios/links"
FAILURES = "tests/scenarios/failures"

READS_ORDERS = (
    f"{DELIVERY}/test_rights_of_readers.py::test_a_kitchen_screen_that_reads_orders_is_sent_nothing_else[False]"
)
MOVED_LINE = (
    f"{MERGING}/test_overruled_removals.py::test_a_line_that_was_moved_while_somebody_changed_it_is_told_to_both"
)

TWO_MOVERS = f"{MERGING}/test_overruled_removals.py::test_a_line_that_two_moved_to_two_places_is_told_to_both"

TOLD_LATE = "test_a_number_is_kept_also_where_a_link_says_late_that_its_author_was_elsewhere"

IN_TURNS = f"{FAILURES}/test_in_turns.py"
NAMES = f"{FAILURES}/test_names_in_turns.py"
AS_AFTERWARDS = f"{NAMES}::test_what_comes_under_its_name_is_decided_as_if_it_came_afterwards"

SCENARIOS = {
    "no-stranger-by-late-news": f"{KNOWLEDGE}/test_strangers.py::{TOLD_LATE}[while it is here]",
    "no-stranger-by-news-of-before": f"{KNOWLEDGE}/test_strangers.py::{TOLD_LATE}[before it comes again]",
    "removed-line-of-one-record": (
        f"{MERGING}/test_lines.py::test_a_stale_list_does_not_bring_back_a_line_that_two_had_changed[1-change0]"
    ),
    "own-rows-not-shown": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_a_tablet_that_is_cut_off_while_its_own_dishes_come_back_takes_none_off[1]"
    ),
    "status-only-in-its-line": (
        f"{MERGING}/test_lines.py"
        "::test_of_a_line_that_two_add_at_once_the_most_advanced_status_is_shown_and_the_other_told"
    ),
    "line-known-by-one-of-two": (
        f"{KNOWLEDGE}/test_strangers.py"
        "::test_a_quantity_that_was_refused_behind_another_write_is_known[False-1-a note]"
    ),
    "late-flush-of-before-not-shown": (
        f"{DELIVERY}/test_read_before_flush.py::test_a_screen_is_right_after_a_late_flush[orders-3-400-True-None-False]"
    ),
    "entities-not-taken": f"{IN_TURNS}::test_others_between_its_turns_change_nothing_of_it",
    "entities-never-given-back": (
        f"{IN_TURNS}::test_others_are_decided_meanwhile_and_who_needs_one_of_its_entities_waits"
    ),
    "group-not-held": f"{IN_TURNS}::test_nothing_of_it_is_stored_before_all_of_it_is_decided",
    "stamped-before-others": f"{IN_TURNS}::test_others_between_its_turns_change_nothing_of_it",
    "sealed-for-good": f"{IN_TURNS}::test_an_entity_that_is_written_while_it_is_not_stored_yet_is_encoded_again",
    "undone-unnoticed": f"{IN_TURNS}::test_a_commit_that_fails_meanwhile_has_it_sent_again[numbered]",
    "number-of-another-row": f"{IN_TURNS}::test_others_between_its_turns_change_nothing_of_it",
    "number-of-the-open-row": f"{IN_TURNS}::test_others_between_its_turns_change_nothing_of_it",
    "two-at-once": f"{IN_TURNS}::test_the_second_waits_until_the_disk_has_the_first",
    "seen-what-came-while-planned": f"{IN_TURNS}::test_what_its_author_is_sent_while_it_is_planned_was_not_seen",
    "fault-forgotten-between-turns": f"{IN_TURNS}::test_a_fault_in_its_middle_costs_its_author_alone[5]",
    "name-not-held": f"{AS_AFTERWARDS}[of its terminal-after_the_node_closed_the_last-other entities]",
    "name-of-a-decision-not-held": f"{AS_AFTERWARDS}[of its terminal-as_a_decision-other entities]",
    "name-not-held-on-links": f"{AS_AFTERWARDS}[of its terminal-over_the_link-other entities]",
    "name-not-held-in-history": f"{NAMES}::test_history_brings_its_name_as_if_it_came_afterwards[6]",
    "name-not-held-by-what-waits": (
        f"{AS_AFTERWARDS}[of its terminal-from_the_quarantine_by_its_entity-other entities]"
    ),
    "name-not-held-by-the-quarantine": f"{AS_AFTERWARDS}[of its terminal-from_the_quarantine-other entities]",
    "name-taken-while-it-was-read": (
        f"{NAMES}::test_what_was_reading_from_the_disk_when_a_large_operation_of_its_name_began_waits_for_it"
    ),
    "refusal-of-another-row": f"{IN_TURNS}::test_one_entity_that_was_deleted_refuses_all_of_it",
    "read-before-taken": f"{IN_TURNS}::test_what_a_link_brings_is_its_own_while_it_is_read",
    "name-never-let-go": f"{NAMES}::test_a_name_that_was_held_is_let_go_however_it_ends[done-False]",
    "end-wakes-nobody": (
        f"{NAMES}::test_the_end_of_a_large_operation_wakes_the_writer_though_its_connection_is_closed"
    ),
    "fault-on-a-closed-connection": (f"{NAMES}::test_a_fault_in_its_middle_is_one_though_its_connection_is_closed"),
    "closed-hands-nothing-over": (
        f"{NAMES}::test_the_next_connection_of_a_terminal_is_served_though_the_node_closed_the_last"
    ),
    "stop-leaves-half": f"{IN_TURNS}::test_a_clean_stop_decides_it_to_its_end",
    "line-read-here-forgotten": (
        f"{KNOWLEDGE}/test_strangers.py"
        "::test_a_quantity_that_was_read_here_is_known_whoever_else_changed_the_line[1-plain]"
    ),
    "difference-of-a-moment": (f"{LINKS}/test_contents.py::test_a_difference_that_is_gone_the_next_time_is_no_alarm"),
    "item-not-named": (
        f"{FAILURES}/test_refusals.py"
        "::test_whatever_is_wrong_with_an_item_its_entity_is_named[no counter-with an entity of its own]"
    ),
    "line-moved-on-untold": (
        f"{MERGING}/test_overruled_removals.py"
        "::test_a_line_that_was_moved_on_is_told_where_it_is[one operation-moved first-carla-True]"
    ),
    "contents-not-compared": (
        f"{LINKS}/test_contents.py::test_what_is_held_otherwise_is_told_on_both_sides[key0-a record gone]"
    ),
    "contents-of-some": (
        f"{LINKS}/test_contents.py::test_what_is_held_otherwise_is_told_on_both_sides[key2-missing]"
    ),
    "asked-for-before-signed": (f"{LINKS}/test_signed.py::test_what_a_new_link_asks_for_waits_for_its_signature_too"),
    "gap-guard-skipped": "tests/crdt/test_document.py::test_an_update_out_of_order_is_a_gap_and_not_lost",
    "before-not-compared": "tests/crdt/test_document.py::test_a_deletion_whose_target_is_missing_waits_for_it",
    "two-writers-not-settled": f"{MERGING}/test_names_of_operations.py::test_repairs_of_two_entities_have_two_names",
    "repair-takes-all": f"{MERGING}/test_names_of_operations.py::test_one_operation_sent_to_two_nodes_is_one[None]",
    "difference-from-latest": (
        f"{MERGING}/test_counters.py::test_two_terminals_that_both_saw_twelve_and_write_ten_and_eleven_leave_nine"
    ),
    "unseen-element-removed": (
        f"{MERGING}/test_keyed_lists.py"
        "::test_what_a_waiter_ordered_on_another_node_is_not_taken_off_before_it_is_on_the_screen"
    ),
    "removed-element-back": (
        f"{MERGING}/test_keyed_lists.py"
        "::test_the_union_of_added_items_each_once_and_what_was_removed_unchanged_is_gone[1]"
    ),
    "earlier-list-forgotten": (
        f"{DELIVERY}/test_sent_again.py::test_an_order_takes_off_what_was_on_its_author_s_own_list"
    ),
    "first-try-forgotten": (
        f"{DELIVERY}/test_sent_again.py::test_an_order_takes_off_nothing_that_came_after_it[at once]"
    ),
    "first-try-knows-more": (
        f"{DELIVERY}/test_sent_again.py"
        "::test_an_order_takes_off_nothing_that_its_author_was_only_shown_since[at once]"
    ),
    "first-try-archived": (
        f"{DELIVERY}/test_sent_again.py::test_an_order_takes_off_nothing_that_came_after_it[archive restart]"
    ),
    "chain-shown-what-it-named": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_a_chain_has_not_read_more_when_what_it_began_with_is_confirmed_late[list-True]"
    ),
    "began-anew-forgotten": (
        f"{KNOWLEDGE}/test_moves.py"
        "::test_what_a_tablet_did_not_read_where_it_began_anew_is_sent_to_it_elsewhere[nothing-asked-it comes again]"
    ),
    "own-write-before-what-comes-again": (
        f"{KNOWLEDGE}/test_moves.py"
        "::test_its_own_write_is_known_when_it_is_told_late_that_it_was_elsewhere[counter-later]"
    ),
    "archive-left-for-memory": (
        f"{RETENTION}/test_retention_at_a_node.py::test_what_is_still_in_memory_hides_nothing_that_is_archived"
        "[5-before the node hears that rows are gone]"
    ),
    "archived-rows-in-memory": (
        f"{RETENTION}/test_retention_at_a_node.py::test_what_is_still_in_memory_hides_nothing_that_is_archived"
        "[5-in two visits]"
    ),
    "unseen-product-counted": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors1-0-False]"
    ),
    "state-before-anything-unknown": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors1-0-True]"
    ),
    "winner-by-arrival": (
        f"{LINKS}/test_partition.py::test_of_one_order_field_the_later_write_is_shown_and_the_losing_author_is_told"
    ),
    "one-of-two-deletions-is-none": (
        f"{MERGING}/test_created_again.py::test_who_saw_one_of_two_deletions_saw_that_it_is_gone[products-True-None]"
    ),
    "unseen-deletion-over": (
        f"{MERGING}/test_created_again.py::test_who_saw_one_of_two_deletions_saw_that_it_is_gone[customers-True-1]"
    ),
    "brought-back-just-now": (
        f"{DELIVERY}/test_read_before_flush.py"
        "::test_a_value_that_was_brought_back_long_before_it_is_sent_is_known_by_its_time_too[0-400]"
    ),
    "read-before-it-was-sent": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_only_what_restores_or_imports_says_itself_what_its_author_has_read[restores-60000]"
    ),
    "deletion-saw-nothing": f"{MERGING}/test_created_again.py::test_nothing_of_before_is_left[0-0-None]",
    "version-not-bounded": (
        f"{KNOWLEDGE}/test_evidence.py::test_what_was_confirmed_is_narrowed_by_the_version"
        "_and_what_was_sent_is_added_by_it[counter-confirmed-2-first-running]"
    ),
    "pong-is-confirmation": (
        "tests/core/delivery/test_window.py"
        "::test_a_pong_makes_room_for_a_terminal_that_confirms_and_tells_nothing_else"
    ),
    "time-of-writing-ignored": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_a_row_that_was_committed_after_an_operation_was_written_was_not_read_before_a_crash"
    ),
    "clock-measured-and-not-used": (
        "tests/core/test_terminal_clocks.py"
        "::test_an_operation_counts_from_when_it_was_written_whether_it_waited_or_not[600000]"
    ),
    "late-flush-not-shown": (
        f"{DELIVERY}/test_read_before_flush.py::test_a_screen_is_right_after_a_late_flush[orders-1-400-True-0-False]"
    ),
    "own-removal-unknown": (
        f"{KNOWLEDGE}/test_copies.py::test_what_its_author_took_away_itself_comes_back_as_it_was[a line-offline-True]"
    ),
    "own-line-off-unknown": (
        f"{KNOWLEDGE}/test_copies.py::test_what_its_author_took_away_itself_comes_back_as_it_was[a list-live-False]"
    ),
    "copy-is-a-change": (
        f"{KNOWLEDGE}/test_copies.py::test_the_order_that_adds_a_dish_does_not_bring_the_table_back[1-running]"
    ),
    "lost-confirmation-forgotten": (
        f"{KNOWLEDGE}/test_evidence.py::test_what_was_confirmed_is_narrowed_by_the_version"
        "_and_what_was_sent_is_added_by_it[counter-lost-3-second-running]"
    ),
    "chain-names-each-state": (
        f"{KNOWLEDGE}/test_evidence.py::test_a_chain_replaces_nothing_that_was_written_meanwhile[register-True]"
    ),
    "own-movement-forgotten": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors0-1-False]"
    ),
    "count-over-the-unseen": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors1-1-False]"
    ),
    "opening-beside-movements": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors0-4-False]"
    ),
    "closed-count-goes-on": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors0-4-False]"
    ),
    "nothing-left-is-never-counted": (
        f"tests/crdt/test_sums.py::test_loaded_anew_a_document_counts_what_it_counted[0-{DEFAULT}]"
    ),
    "quantity-overwritten": f"{MERGING}/test_lines.py::test_two_who_add_one_beer_each_add_two[1]",
    "line-goes-back": f"{MERGING}/test_lines.py::test_a_status_of_a_line_does_not_go_back_by_itself",
    "decision-takes-what-came-since": (
        f"{MERGING}/test_strategies_on_a_node.py::test_what_arrives_after_a_conflict_was_named_reopens_as_a_new_one"
    ),
    "visit-not-corrected": (
        f"{KNOWLEDGE}/test_moves.py"
        "::test_a_tablet_that_visited_another_node_shows_what_its_own_node_shows[home-(False, False)-back first]"
    ),
    "visit-forgotten-with-the-link": (
        f"{KNOWLEDGE}/test_moves.py"
        "::test_after_an_outage_a_tablet_that_was_elsewhere_is_sent_what_came_meanwhile_and_nothing_else"
        "[before it is back]"
    ),
    "told-with-the-state": (
        f"{KNOWLEDGE}/test_moves.py"
        "::test_a_tablet_that_comes_back_from_elsewhere_with_nothing_is_told_what_is_for_it[1-unnoticed]"
    ),
    "deletion-over-paid": f"{MERGING}/test_paid.py::test_nobody_takes_a_status_back_who_may_not[delete-unseen]",
    "unread-before-the-start": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_who_never_confirms_and_writes_before_it_reads_shows_what_its_node_shows[UPDATE-after a restart-True]"
    ),
    "anybody-unpays": f"{MERGING}/test_paid.py::test_nobody_takes_a_status_back_who_may_not[update-seen]",
    "failed-commit-not-undone": (
        f"{FAILURES}/test_disk_failure.py::test_a_failed_commit_refuses_every_uncommitted_operation_and_shows_none"
    ),
    "first-loser-told": (
        f"{FAILURES}/test_holes.py::test_it_ends_well_and_with_the_defect_it_does_not[one-loser-told]"
    ),
    "let-go-uncommitted": f"{MERGING}/test_entities_let_go.py::test_what_is_not_stored_yet_stays_in_memory[1-2]",
    "writer-kept-after-restore": (
        "tests/runtime/test_identity.py"
        "::test_a_database_put_back_forgets_what_terminals_confirmed_and_a_copied_one_does_not"
    ),
    "older-database-unnoticed": (
        "tests/runtime/test_identity.py"
        "::test_a_database_put_back_that_lacks_nothing_but_a_lock_never_grants_its_token_again"
    ),
    "older-epoch-unnoticed": (
        "tests/runtime/test_identity.py::test_a_start_that_dies_half_way_begins_anew_the_next_time"
    ),
    "cursor-stored-too-far": (
        f"{DELIVERY}/test_delivery.py::test_acknowledged_rows_are_not_sent_again_and_others_are[True]"
    ),
    "positions-kept-when-set-back": (
        "tests/runtime/test_identity.py"
        "::test_a_database_put_back_forgets_what_terminals_confirmed_and_a_copied_one_does_not"
    ),
    "unreadable-is-empty": (
        f"{FAILURES}/test_unreadable.py"
        "::test_a_terminal_that_cannot_be_sent_what_it_missed_is_told_writes_on_and_gets_it_later"
    ),
    "own-row-not-sent-again": (
        f"{DELIVERY}/test_delivery.py::test_own_rows_are_sent_again_after_those_that_they_came_over"
    ),
    "peer-position-kept-after-failure": (
        f"{LINKS}/test_link_identity.py::test_a_position_is_held_once_its_rows_are_stored"
    ),
    "old-log-position-kept": ("tests/core/links/test_peer_log.py::test_of_a_log_that_was_begun_anew_nothing_is_held"),
    "digest-type-skipped": (
        f"{LINKS}/test_link_identity.py::test_a_log_with_another_row_at_the_same_place_is_a_fork"
    ),
    "damaged-kept-waiting": (
        f"{LINKS}/test_quarantine.py"
        "::test_an_operation_that_came_damaged_while_the_disk_could_not_be_read_is_asked_for_once_it_can"
    ),
    "parked-not-stored": (
        f"{LINKS}/test_quarantine.py::test_one_bad_operation_is_kept_and_stops_nothing_else[flip_update]"
    ),
    "tokens-come-again": (
        "tests/runtime/test_identity.py"
        "::test_a_database_put_back_that_lacks_nothing_but_a_lock_never_grants_its_token_again"
    ),
    "quarantine-not-retried": (
        f"{LINKS}/test_quarantine.py::test_what_builds_on_a_bad_operation_waits_with_it_and_comes_back_with_it[False]"
    ),
    "sent-is-acknowledged": "tests/core/delivery/test_window.py::test_what_was_only_sent_is_not_acknowledged",
    "newcomer-takes-the-place": (
        f"{LINKS}/test_newcomers.py"
        "::test_who_has_not_shown_who_it_is_changes_nothing[the leaf dialled-says_nothing-downstream]"
    ),
    "realm-not-asked": (
        "tests/core/test_admission.py"
        "::test_only_who_comes_for_this_store_enters_and_the_others_are_counted[loja-a-loja-b]"
    ),
    "realm-not-read": (
        f"{LINKS}/test_realms.py"
        "::test_a_node_that_dialled_another_store_ends_the_link_and_says_nothing[loja-a-loja-b]"
    ),
    "realm-of-a-message-not-read": (
        f"{LINKS}/test_realms.py::test_a_message_that_names_another_store_is_refused_whatever_it_says"
    ),
    "realm-not-signed": f"{LINKS}/test_realms.py::test_what_a_node_signs_for_one_store_shows_nothing_to_another",
    "log-renamed": f"{LINKS}/test_realms.py::test_a_log_takes_a_name_once_and_keeps_it_for_ever",
    "newcomers-not-bounded": (
        f"{LINKS}/test_newcomers.py::test_newcomers_are_few_and_are_not_waited_for[the leaf dialled]"
    ),
    "rights-not-asked-of-a-row": READS_ORDERS,
    "rights-not-asked-of-a-batch": READS_ORDERS,
    "rights-not-asked-of-a-state": READS_ORDERS,
    "deletion-over-link-unmarked": (
        f"{LINKS}/test_rogue.py::test_what_an_author_may_not_do_as_this_node_knows_it_is_said_beside_it"
    ),
    "line-moved-by-two-untold": f"{TWO_MOVERS}[1-one operation-memory-False]",
    "line-moved-by-two-told-to-one": f"{TWO_MOVERS}[2-one operation-memory-False]",
    "counted-line-is-another": (
        f"{MERGING}/test_overruled_removals.py"
        "::test_a_line_is_the_same_whatever_was_counted_of_it[moves it-added, then removed]"
    ),
    "late-confirmation-of-another": (
        "tests/core/delivery/test_window.py"
        "::test_a_late_confirmation_is_of_the_row_that_a_pong_acknowledged_and_of_no_other_of_that_id"
    ),
    "read-as-soon-as-it-confirms": (
        "tests/core/delivery/test_window.py"
        "::test_what_a_pong_acknowledged_is_not_surely_read_before_its_own_confirmation"
    ),
    "let-go-is-another": (
        "tests/core/delivery/test_window.py::test_whose_id_was_let_go_is_not_confirmed_before_a_later_row_is"
    ),
    "count-is-the-beginning": (
        f"{MERGING}/test_lines.py::test_a_quantity_that_is_sent_back_undoes_no_count[1-0-elsewhere]"
    ),
    "count-elsewhere-not-noted": (
        f"{MERGING}/test_lines.py::test_a_quantity_that_is_sent_back_undoes_no_count[2-1-at her node]"
    ),
    "copy-of-a-line-is-a-change": (
        f"{MERGING}/test_lines.py"
        "::test_a_field_that_is_sent_back_undoes_no_change_whatever_of_the_line_was_changed_before"
        "[1-first1-elsewhere]"
    ),
    "line-movements-let-go": (
        f"{MERGING}/test_lines.py"
        "::test_a_quantity_counts_from_what_its_author_knew_however_often_others_wrote_it[1-40-0]"
    ),
    "confirmed-later-known-before": (
        f"{KNOWLEDGE}/test_evidence.py::test_a_row_that_is_confirmed_when_it_came_again"
        "_tells_nothing_of_what_was_written_before[counter-None-first-1-running]"
    ),
    "copy-let-go-while-its-like-waits": (
        "tests/scenarios/links/test_copies_in_memory.py"
        "::test_a_sale_that_came_to_two_nodes_is_one_whatever_is_written_while_its_copy_waits[False-0]"
    ),
    "online-for-ever": (
        f"{KNOWLEDGE}/test_evidence.py"
        "::test_what_was_stored_between_two_crashes_was_sent_to_nobody_who_was_away[counter]"
    ),
    "answer-after-next-comparison": (
        "tests/core/links/test_asked.py::test_an_answer_is_taken_though_the_next_comparison_has_begun[1-damaged]"
    ),
    "later-move-not-noticed": f"{MOVED_LINE}[1-changed first-removed, then added-memory-True]",
    "removed-long-ago-forgotten": (
        f"{KNOWLEDGE}/test_copies.py::test_the_order_that_adds_a_dish_does_not_bring_the_table_back[12-running]"
    ),
    "bulk-sent-again-is-another": (
        "tests/storage/test_understood.py::test_what_is_understood_alike_is_the_same[first2-again2]"
    ),
    "one-is-true": ("tests/crdt/test_json_values.py::test_two_texts_are_one_value_only_where_the_table_says_so"),
    "opening-over-movements": (
        f"{MERGING}/test_counter_walk.py::test_live_a_counter_shows_what_its_authors_meant[4-authors0-4-False]"
    ),
    "half-a-pair-is-kept": (
        "tests/wire/test_refusals_name.py::test_half_a_surrogate_pair_in_a_value_becomes_a_placeholder_and_is_told"
    ),
    "too-large-a-number-is-a-text": (
        "tests/wire/test_refusals_name.py::test_a_number_that_no_double_holds_is_refused_where_it_stands[operation]"
    ),
}
