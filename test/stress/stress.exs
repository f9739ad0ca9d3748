# Thousands of processes that do to Python whatever callers do, for so many seconds:
#
#     mix run test/stress/stress.exs 600
#
# Every answer carries its request's number. Ends with status 1 if an answer was lost, late by seconds
# or somebody else's, if anything strayed into a mailbox or into another call, or if memory, threads,
# objects or workers are left over. Further arguments are the seed of an
# earlier run, and the kinds of operations to do, if not all of them are.

for file <- ~w(book check operations churn state kinds gauge load) do
  Code.require_file("#{file}.exs", __DIR__)
end

{seconds, seed, kinds} =
  case System.argv() do
    [seconds] -> {seconds, "#{:rand.uniform(1_000_000)}", []}
    [seconds, seed | kinds] -> {seconds, seed, Enum.map(kinds, &String.to_atom/1)}
  end

ok = Stress.Load.run(String.to_integer(seconds), String.to_integer(seed), kinds)
System.halt(if ok, do: 0, else: 1)
