-- A run's actions in their order, with what its totals need: one index where there were two, whose
-- entry for an action stays on its page when the action is settled.
drop index actions_by_run;
drop index actions_by_outcome;
create index actions_by_run on actions (run, id, state, cost_nanousd);
