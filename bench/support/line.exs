defmodule Bench.Line do
  @moduledoc false

  # One line of the results: what was measured, one figure and one floor per round, and the target.

  import Kernel, except: [floor: 1]
  import Bench.Measure, only: [median: 1, percentile: 2]

  @doc """
  Fields:

    * `:work` - what was measured, in words.
    * `:unit` - of figures and floors: `"µs"`, `"calls/s"`, …
    * `:figures`, `:floors` - one number per round, in that unit; a line may have no floor.
    * `:floor_name` - what the floor is.
    * `:target` - `{:ratio, most}`, `{:at_most, figure}`, `{:at_least, figure}`, or none.
    * `:p99` - one number per round, where the tail was taken too.
    * `:excess` - whether figures are what comes on top of the floor.
  """
  defstruct [:work, :unit, :figures, :floor_name, :target, floors: [], p99: [], excess: false]

  def figure(line), do: median(line.figures)
  def spread(line), do: {percentile(line.figures, 10), percentile(line.figures, 90)}

  def floor(%{floors: []}), do: nil
  def floor(line), do: median(line.floors)

  def p99(%{p99: []}), do: nil
  def p99(line), do: median(line.p99)

  @doc "The median of the rounds' own ratios: what slows a whole round down cancels out."
  def ratio(%{floors: []}), do: nil
  def ratio(line), do: median(ratios(line))

  def ratio_spread(line), do: {percentile(ratios(line), 10), percentile(ratios(line), 90)}

  defp ratios(%{excess: true} = line),
    do: Enum.zip_with(line.figures, line.floors, &((&1 + &2) / &2))

  defp ratios(line), do: Enum.zip_with(line.figures, line.floors, &(&1 / &2))

  @doc "How much of the target is used up: 1.0 is just met, more is missed."
  def used(%{target: nil}), do: nil
  def used(%{target: {:ratio, most}} = line), do: ratio(line) / most
  def used(%{target: {:at_most, most}} = line), do: figure(line) / most
  def used(%{target: {:at_least, least}} = line), do: least / figure(line)

  def met?(line), do: used(line) <= 1.0

  def to_map(line) do
    {p10, p90} = spread(line)

    %{
      work: line.work,
      unit: line.unit,
      figure: figure(line),
      p10: p10,
      p90: p90,
      p99: p99(line),
      floor_name: line.floor_name,
      floor: floor(line),
      ratio: ratio(line),
      target: target_text(line),
      met: line.target && met?(line),
      rounds: %{figures: line.figures, floors: line.floors}
    }
  end

  def target_text(%{target: nil}), do: nil
  def target_text(%{target: {:ratio, most}}), do: "≤ #{most} ×"
  def target_text(%{target: {:at_most, most}} = line), do: "≤ #{number(most)} #{line.unit}"
  def target_text(%{target: {:at_least, least}} = line), do: "≥ #{number(least)} #{line.unit}"

  def figure_text(line), do: "#{number(figure(line))} #{line.unit}"

  def spread_text(line) do
    {p10, p90} = spread(line)
    "#{number(p10)} – #{number(p90)}"
  end

  def floor_text(%{floors: []}), do: ""
  def floor_text(line), do: "#{number(floor(line))} #{line.unit}"

  def ratio_text(%{floors: []}), do: ""

  def ratio_text(line) do
    {p10, p90} = ratio_spread(line)
    "#{number(ratio(line))} × (#{number(p10)} – #{number(p90)})"
  end

  def met_text(%{target: nil}), do: ""
  def met_text(line), do: if(met?(line), do: "met", else: "missed")

  @doc "Three digits that count, and thousands apart."
  def number(value) when is_integer(value), do: thousands(Integer.to_string(value))

  def number(value) when is_float(value) do
    cond do
      value == 0 -> "0"
      abs(value) >= 100 -> value |> round() |> number()
      abs(value) >= 10 -> :erlang.float_to_binary(value, decimals: 1)
      true -> :erlang.float_to_binary(value, decimals: 2)
    end
  end

  defp thousands(digits), do: String.replace(digits, ~r/(?<=\d)(?=(\d{3})+$)/, ",")
end
