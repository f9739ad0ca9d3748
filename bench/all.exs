# Every topic, one after the other, in one VM. With --write the figures go into RESULTS.md.

Code.require_file("support/suite.exs", __DIR__)

for topic <-
      ~w(calls eval map values data streams callbacks errors handles concurrency startup processes asyncio nodes) do
  Code.require_file("#{topic}.exs", __DIR__)
end

machine = Bench.Suite.machine()
Bench.Report.save_all(Bench.Suite.results(), machine)

if "--write" in System.argv(), do: Bench.Report.write(Bench.Suite.results(), machine)
