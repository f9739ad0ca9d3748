defmodule Python.Pools.DefaultPoolTest do
  # The settings of the pool that the application starts, in VMs of their own.
  use Python.TestCase, async: true

  alias Python.{Error, FreshVM, Settings}

  test "its :init runs before the first call, and its :decode holds for calls" do
    vm =
      FreshVM.start(
        settings: [
          num_workers: 1,
          init:
            "import uuid, pathlib\nready = 7\ndef fail():\n    kept = object()\n    raise ValueError",
          decode: [uuid: :string, path: :string],
          max_stuck: 1,
          keep_locals: true
        ]
      )

    call = fn function, arguments -> FreshVM.call(vm, Python, function, arguments) end
    assert call.(:eval, ["ready"]) == {:ok, 7}
    id = "00000000-0000-0000-0000-000000000001"
    assert call.(:eval, ["[uuid.UUID(int=1), pathlib.PurePosixPath('a')]"]) == {:ok, [id, "a"]}

    assert {:ok, %Python.Object{}} =
             call.(:eval, ["uuid.UUID(int=1)", %{}, [decode: [uuid: :object]]])

    assert {:ok, <<1::128>>} = call.(:eval, ["uuid.UUID(int=1)", %{}, [decode: [uuid: :bytes]]])

    # It keeps the variables of its errors.
    assert {:error, %Error{value: value}} = call.(:call, [:__main__, :fail])

    assert call.(:eval, [
             "'kept' in e.__traceback__.tb_frame.f_locals or 'kept' in e.__traceback__.tb_next.tb_frame.f_locals",
             %{e: value}
           ]) ==
             {:ok, true}

    # One stuck call is one too many. It may have come to its end before it came to be stuck.
    stuck = "__import__('ctypes').CDLL(None).usleep(2_000_000)"

    eventually("it refuses calls", fn ->
      assert {:error, error} = call.(:eval, [stuck, %{}, [timeout: 50]])
      assert error.__struct__ in [Python.TimeoutError, Python.OverloadedError]

      match?(
        {:error, %Python.OverloadedError{reason: :stuck}},
        call.(:eval, ["1", %{}, [timeout: 20_000]])
      )
    end)
  end

  test "as processes, it has the options of these from settings" do
    vm =
      FreshVM.start(
        settings: [
          engine: :process,
          num_workers: 1,
          cd: "/",
          command: ["nice", "-n", "3"],
          preload: ["colorsys"],
          limits: [files: 200],
          kill_after: 100,
          max_calls: 3
        ]
      )

    eval = fn code -> FreshVM.call(vm, Python, :eval, [code]) end
    assert eval.("__import__('os').getcwd()") == {:ok, "/"}
    assert eval.("__import__('os').nice(0)") == {:ok, 3}
    assert eval.("'colorsys' in __import__('sys').modules") == {:ok, true}

    assert eval.("list(__import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE))") ==
             {:ok, [200, 200]}

    {:ok, first} = eval.("__import__('os').getpid()")

    eventually("its worker is replaced", fn ->
      {:ok, now} = eval.("__import__('os').getpid()")
      now != first
    end)
  end

  test "as charlists, as sys.config has them" do
    vm = FreshVM.start(settings: [init: ~c"größe = 'ü'"])
    assert FreshVM.call(vm, Python, :eval, ["größe"]) == {:ok, "ü"}
  end

  test "an :init that raises stops the application, with Python's traceback" do
    vm = FreshVM.start(start: false, settings: [init: "1 / 0"])
    assert {:error, reason} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    assert inspect(reason, limit: :infinity, printable_limit: :infinity) =~ "ZeroDivisionError"
    assert FreshVM.alive?(vm)
  end

  test "invalid settings are refused" do
    for {key, value} <- [
          init: 1,
          init: :code,
          init: <<255>>,
          init: [1 | 2],
          init: ["import os"],
          decode: :uuid,
          decode: [uuid: :text],
          decode: [nope: :string],
          decode: %{uuid: :string},
          decode: nil,
          max_stuck: 0,
          max_stuck: nil,
          keep_locals: "true"
        ] do
      assert {:error, %ArgumentError{message: message}} = Settings.validate([{key, value}])
      assert message =~ "expected the setting #{inspect(key)} of :erlang_python to be "
      assert message =~ ", got: #{inspect(value)}"
    end

    for {key, value} <- [
          init: nil,
          init: :undefined,
          init: "",
          init: [],
          decode: [],
          decode: [uuid: :object],
          max_stuck: :infinity
        ] do
      assert {:ok, _} = Settings.validate([{key, value}])
    end
  end

  test "arguments of a callback do not follow the call's :decode and :return" do
    name = define("def NAME(f):\n    import uuid\n    return f(uuid.UUID(int=1), b'x')")
    test = self()
    function = fn id, bytes -> send(test, {:got, id, bytes}) && nil end
    options = [decode: [uuid: :string], return: :bytes]
    assert Python.call(:__main__, name, [function], options) == {:ok, nil}
    assert_received {:got, %Python.Object{}, "x"}
  end
end
