defmodule Python.Engine.Asyncio.Contract.KilledTest do
  # Callers that die while an asynchronous manager is entered or left in an event loop.
  use Python.LoopCase, async: true

  setup_all do
    Python.exec!("""
    import asyncio

    class Gate:
        def __init__(self, entering, leaving):
            self.entering, self.leaving, self.log = entering, leaving, []

        async def do(self, what):
            if what == "refuse":
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.05)
            else:
                await asyncio.sleep(what)

        async def __aenter__(self):
            self.log.append("entering")
            await self.do(self.entering)
            self.log.append("entered")

        async def __aexit__(self, kind, error, trace):
            self.log.append("leaving")
            try:
                await self.do(self.leaving)
            except asyncio.CancelledError:
                self.log.append("cancelled")
                raise
            self.log.append("left")
    """)
  end

  defp places do
    [[pool: start_loop(timeout: :infinity)], [pool: start_loop(size: 2, timeout: :infinity)]]
  end

  # What is noted of a manager whose caller was killed when `at` was. `ends`: the last.
  defp killed(place, [entering, leaving], time, at, ends) do
    arguments = [entering, leaving]
    gate = Python.call!(:__main__, :Gate, arguments, [return: :object] ++ place)
    log = fn -> Python.getattr!(gate, :log) end
    body = fn _ -> if at == "entered", do: Process.sleep(:infinity) end
    caller = start(fn -> Python.with(gate, body, time) end)
    eventually("it is #{at}", fn -> List.last(log.()) == at end)
    Process.exit(caller, :kill)
    eventually("it has #{ends}", fn -> List.last(log.()) == ends end)
    eventually_no_tasks(place[:pool])
    log.()
  end

  test "what they wait for is cancelled, and a manager that was entered is left" do
    for place <- places(), time <- [[], [timeout: 60_000]] do
      assert killed(place, [100, 0], time, "entering", "entering") == ["entering"]

      assert killed(place, ["refuse", 0.3], time, "entering", "left") ==
               ["entering", "entered", "leaving", "left"]

      for {leaving, ends} <- [{0.4, "left"}, {100, "cancelled"}], at <- ["entered", "leaving"] do
        assert killed(place, [0, leaving], time, at, ends) ==
                 ["entering", "entered", "leaving", ends]
      end
    end
  end
end
