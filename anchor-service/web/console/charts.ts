/** What draws charts, as a script of its own, which only those load who look at one: it is a third of all that the console has. */
import uPlot from 'uplot'
import type { ChartShelf } from './fetched-charts.ts'

;(globalThis as ChartShelf).killickChart = uPlot
