//! Whether the books balance: every account holds exactly what the calls booked on it add up to, every goal what its calls
//! do, and every goal with goals below it what those do. Added up from the calls anew; it knows nothing of how the sums
//! were kept up on the way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::error::StoreError;
use super::store::SledStore;
use super::{goal_records, records, sweep};
use crate::domain::budget::{Account, AccountKey, Booked, Measure};
use crate::domain::call::{CallNo, Stage};
use crate::domain::goal::{Goal, GoalSums};
use crate::domain::state::State;
use crate::domain::time::UnixMillis;

/// What was gone through, and what does not balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Accounts.
    pub accounts: u64,
    /// Goals.
    pub goals: u64,
    /// What calls are booked on accounts: one for each call and account.
    pub charges: u64,
    /// What does not add up, one sentence each; empty: everything balances.
    pub problems: Vec<String>,
}

/// Adds up every account and every goal of `state`, with what lies in `store` only, from their calls.
///
/// # Errors
/// [`StoreError::Broken`]: a stored record does not read.
pub fn books(state: &State, store: &SledStore) -> Result<Books, StoreError> {
    store.careful(|| {
        let mut ledger = Ledger { from: state.detail_from, ..Ledger::default() };
        sweep::accounts(state, Some(store), |_, stored| {
            ledger.open(goal_records::account(stored, "")?);
            Ok(())
        })?;
        sweep::goals(state, Some(store), |id, stored| {
            let goal = goal_records::goal(id, stored, Vec::new())?;
            ledger.goal(id, &goal);
            goal.accounts.into_iter().for_each(|account| ledger.open(account));
            Ok(())
        })?;
        sweep::calls(state, Some(store), |number, stored| {
            ledger.call(&records::call(number, stored)?);
            Ok(())
        })?;
        Ok(ledger.close())
    })
}

/// What is known of every settled call of `state`, with what lies in `store` only: its number, when it counts, what it cost in
/// nano-USD.
///
/// # Errors
/// As [`books`].
pub fn costs(state: &State, store: &SledStore) -> Result<Vec<(CallNo, UnixMillis, Option<u64>)>, StoreError> {
    store.careful(|| {
        let mut costs = Vec::new();
        sweep::calls(state, Some(store), |number, stored| {
            let call = records::call(number, stored)?;
            if let Stage::Settled(settled) = call.stage {
                costs.push((number, call.counted_at, settled.cost.map(|cost| cost.0)));
            }
            Ok(())
        })?;
        Ok(costs)
    })
}

/// An account, and what is left of it once everything booked on it is taken away.
struct Line {
    name: String,
    start: UnixMillis,
    measure: Measure,
    says: Booked,
    left: Booked,
}

#[derive(Default)]
struct Ledger {
    /// Detail before this was dropped: what began before cannot be added up any more.
    from: UnixMillis,
    accounts: HashMap<AccountKey, Line>,
    /// What a goal says of its own calls, less its calls.
    own: HashMap<String, GoalSums>,
    /// What a goal says of the goals below it, less those right below it.
    below: HashMap<String, GoalSums>,
    /// Goals that began before.
    old: HashSet<String>,
    books: Books,
}

impl Ledger {
    fn open(&mut self, account: Account) {
        let opened = account.opened;
        let name = format!("{} of {} `{}`", opened.budget, opened.scope.as_str(), opened.instance);
        let line =
            Line { name, start: opened.start, measure: opened.measure, says: account.booked, left: account.booked };
        self.books.accounts += 1;
        if let Some(twice) = self.accounts.insert(opened.key, line) {
            self.books.problems.push(format!("account {} is there twice", twice.name));
        }
    }

    fn goal(&mut self, id: &str, goal: &Goal) {
        self.books.goals += 1;
        if goal.opened_at < self.from {
            self.old.insert(id.to_owned());
            return;
        }
        self.own.insert(id.to_owned(), goal.own);
        let mut below = goal.whole;
        below.change(&goal.own, false);
        if below != GoalSums::default() {
            self.below.entry(id.to_owned()).or_default().change(&below, true);
        }
        if let Some(above) = goal.ancestors.first() {
            self.below.entry(above.to_string()).or_default().change(&goal.whole, false);
        }
    }

    fn call(&mut self, call: &crate::domain::call::Call) {
        let number = call.number.0;
        for charge in &call.charges {
            self.books.charges += 1;
            match self.accounts.get_mut(&charge.account) {
                Some(line) => line.left.change(&charge.booked(call, line.measure), false),
                // That of an ended period, or of a goal above it that ended long ago.
                None if self.from > UnixMillis::default() => {}
                None => self.books.problems.push(format!("call {number} is booked on an account that is nowhere")),
            }
        }
        if call.goal.is_empty() {
            return;
        }
        match self.own.get_mut(&call.goal) {
            Some(left) => left.change(&GoalSums::of(call), false),
            None if self.old.contains(&call.goal) => {}
            None => self.books.problems.push(format!("call {number} is of a goal that is nowhere")),
        }
    }

    fn close(self) -> Books {
        let (mut books, from) = (self.books, self.from);
        let open: BTreeMap<_, _> =
            self.accounts.into_iter().filter(|(_, l)| l.start >= from && l.left != Booked::default()).collect();
        for Line { name, says, left, .. } in open.into_values() {
            let mut sum = says;
            sum.change(&left, false);
            let show = |b: &Booked| format!("{} spent, {} held, {} presumed", b.spent, b.held, b.presumed);
            let (says, sum) = (show(&says), show(&sum));
            books.problems.push(format!("account {name} says {says}; its calls add up to {sum}"));
        }
        let differ = |sums: HashMap<String, GoalSums>| {
            let known = |id: &String| !self.old.contains(id);
            sums.into_iter().filter(|(id, left)| known(id) && *left != GoalSums::default()).collect::<BTreeMap<_, _>>()
        };
        // Spend that was told late may be older than its goal: then it was dropped before the goal. So may a goal below it be.
        // A call that is missing is not told from one that was dropped; sums that differ over the same calls are.
        let lacks_calls = |left: &GoalSums| left.calls > 0 || left.unpriced > 0;
        let lacks_dropped = |left: &GoalSums| from > UnixMillis::default() && lacks_calls(left);
        for (goal, left) in differ(self.own).into_iter().filter(|(_, left)| !lacks_dropped(left)) {
            books.problems.push(format!("goal `{goal}` does not add up to its calls: {left:?} too much"));
        }
        for (goal, left) in differ(self.below).into_iter().filter(|(_, left)| !lacks_dropped(left)) {
            books.problems.push(format!("goal `{goal}` does not add up to the goals below it: {left:?} too much"));
        }
        books
    }
}
