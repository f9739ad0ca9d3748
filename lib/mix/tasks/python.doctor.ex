defmodule Mix.Tasks.Python.Doctor do
  @shortdoc "Tells whether Python can be started, and what to do if not"

  @moduledoc """
  Prints which Python was found and what was tried, the settings, whether the native libraries are
  there, and for each thing that is wrong what to do about it. In the end it starts Python and
  computes something.

      mix python.doctor
      mix python.doctor --python .venv

  The exit status is 0 when Python can be started, and 1 when it cannot.

  ## Options

    * `--python` - an interpreter or a virtual environment to look at in place of the one that the
      project's configuration names
  """

  # A shell around Python.Doctor.

  use Mix.Task

  @impl true
  def run(args) do
    {options, rest} = OptionParser.parse!(args, strict: [python: :string])

    if rest != [] do
      Mix.raise(
        "python.doctor takes no argument #{inspect(hd(rest))}; see mix help python.doctor"
      )
    end

    Mix.Task.run("app.config")
    checks = Python.Doctor.run(options)
    Mix.shell().info(String.trim_trailing(Python.Doctor.format(checks)))

    if not Python.Doctor.healthy?(checks), do: exit({:shutdown, 1})
  end
end
