defmodule Python.EscriptTest do
  # An escript is one file, out of which no native library can be loaded.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @moduletag :tmp_dir

  @main """
  defmodule EscriptUser do
    def main(_args) do
      {:ok, _} = Application.ensure_all_started(:erlang_python)

      case Python.call(:math, :sqrt, [16]) do
        {:ok, value} -> IO.inspect(value)
        {:error, error} -> IO.puts(Exception.message(error))
      end
    end
  end
  """

  # The compiled project is taken as it is: its dependencies are not compiled again.
  defp project(folder) do
    File.mkdir_p!(Path.join(folder, "lib"))
    File.write!(Path.join(folder, "lib/escript_user.ex"), @main)

    File.write!(Path.join(folder, "mix.exs"), """
    defmodule EscriptUser.MixProject do
      use Mix.Project

      def project do
        [
          app: :escript_user,
          version: "0.1.0",
          escript: [main_module: EscriptUser],
          deps: [{:erlang_python, path: #{inspect(File.cwd!())}, compile: false}]
        ]
      end
    end
    """)

    libraries = Path.join(folder, "_build/prod/lib")
    File.mkdir_p!(libraries)
    :ok = File.ln_s(Application.app_dir(:erlang_python), Path.join(libraries, "erlang_python"))
    libraries
  end

  defp run(program, arguments, folder, env) do
    env = [{"MIX_ENV", "prod"}, {"ERLANG_PYTHON_BUILD", "1"} | env]
    FreshVM.execute(program, arguments, env, 120_000, folder)
  end

  test "that Mix made says what an escript lacks, and works with the folder of the applications",
       %{
         tmp_dir: folder
       } do
    libraries = project(folder)
    {output, status} = run(System.find_executable("mix"), ["escript.build"], folder, [])
    assert status == 0, output

    escript = Path.join(folder, "escript_user")
    {output, 0} = run(escript, [], folder, [{"ERL_LIBS", false}])
    assert output =~ "the escript #{escript} holds no files of priv."
    assert output =~ "mix release"
    assert output =~ "ERL_LIBS=_build/prod/lib escript_user"

    assert {"4.0\n", 0} = run(escript, [], folder, [{"ERL_LIBS", libraries}])
  end

  test "that has the applications in folders, as rebar3 makes them, says so too", %{
    tmp_dir: folder
  } do
    beams =
      for application <- [:erlang_python, :elixir],
          ebin = Application.app_dir(application, "ebin"),
          file <- File.ls!(ebin) do
        {~c"#{application}/ebin/#{file}", File.read!(Path.join(ebin, file))}
      end

    [{module, beam}] = Code.compile_string(String.replace(@main, "EscriptUser", "EscriptOfRebar"))
    beams = [{~c"user/ebin/#{module}.beam", beam} | beams]

    escript = Path.join(folder, "of_rebar")

    paths =
      for application <- ~w(user erlang_python elixir),
          do: " #{Path.basename(escript)}/#{application}/ebin"

    :ok =
      :escript.create(String.to_charlist(escript), [
        :shebang,
        {:emu_args, ~c"-escript main #{module} -pa" ++ String.to_charlist(Enum.join(paths))},
        {:archive, beams, []}
      ])

    File.chmod!(escript, 0o755)
    {output, 0} = run(escript, [], folder, [{"ERL_LIBS", false}])
    assert output =~ "the escript #{escript} holds no files of priv."
  end
end
