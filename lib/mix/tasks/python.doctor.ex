defmodule Mix.Tasks.Python.Doctor do
  @shortdoc "Checks whether Python can be started, and says what to do if not"

  @moduledoc """
  Checks whether Python can be started, and prints what to do if not.

  It prints the Python that was found and what was tried, the settings, the native libraries, and a remedy for each
  problem. Then it starts Python and runs an expression.

      mix python.doctor
      mix python.doctor --python .venv

  The exit status is 0 when Python can be started, and 1 when it cannot.

  ## Options

    * `--python` - the interpreter or virtual environment to check. Defaults to that of the configuration of the project.
  """

  # A shell around Python.Doctor.

  use Mix.Task

  @impl true
  def run(args) do
    {options, rest} = OptionParser.parse!(args, strict: [python: :string])

    if rest != [] do
      Mix.raise("expected options only, got: #{inspect(hd(rest))}. See mix help python.doctor")
    end

    Mix.Task.run("app.config")
    checks = Python.Doctor.run(options)
    Mix.shell().info(String.trim_trailing(Python.Doctor.format(checks)))

    if not Python.Doctor.healthy?(checks), do: exit({:shutdown, 1})
  end
end
